"""The fields of other projects' kinds that the manifests use; any other field is a mistake."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

Duration = Annotated[str, StringConstraints(pattern=r"^(\d+(ms|[smhdwy]))+$")]
Port = Annotated[int, Field(ge=1, le=65535)]
Text = Annotated[str, StringConstraints(min_length=1)]
Path = Annotated[str, StringConstraints(pattern=r"^/")]
Url = Annotated[str, StringConstraints(pattern=r"^https://\S+$")]
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS"]


class _Closed(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _Object(_Closed):
    apiVersion: str
    kind: str
    metadata: dict[str, Any]


class _Selector(_Closed):
    matchLabels: dict[str, str] = Field(min_length=1)


# Prometheus operator, monitoring.coreos.com/v1


class _PodEndpoint(_Closed):
    portNumber: Port
    path: Path
    interval: Duration


class _PodMonitorSpec(_Closed):
    selector: _Selector
    podTargetLabels: list[str] = []
    podMetricsEndpoints: list[_PodEndpoint] = Field(min_length=1)


class PodMonitor(_Object):
    """Which pods Prometheus reads."""

    spec: _PodMonitorSpec


class _AlertLabels(_Closed):
    severity: Literal["critical", "warning", "info"]


class _AlertAnnotations(_Closed):
    summary: Text
    runbook_url: Url


class _Alert(_Closed):
    alert: Annotated[str, StringConstraints(pattern=r"^[A-Z]\w*$")]
    expr: Text
    for_: Duration = Field(alias="for")
    labels: _AlertLabels
    annotations: _AlertAnnotations


class _RuleGroup(_Closed):
    name: Text
    rules: list[_Alert] = Field(min_length=1)


class _PrometheusRuleSpec(_Closed):
    groups: list[_RuleGroup] = Field(min_length=1)


class PrometheusRule(_Object):
    """Alerts."""

    spec: _PrometheusRuleSpec


# Istio, security.istio.io/v1


class _JwtRule(_Closed):
    issuer: Url
    jwksUri: Url
    audiences: list[Text] = Field(min_length=1)
    forwardOriginalToken: bool = False


class _RequestAuthenticationSpec(_Closed):
    selector: _Selector
    jwtRules: list[_JwtRule] = Field(min_length=1)


class RequestAuthentication(_Object):
    """Whose tokens are taken."""

    spec: _RequestAuthenticationSpec


class _Source(_Closed):
    requestPrincipals: list[Text] | None = None
    namespaces: list[Text] | None = None


class _From(_Closed):
    source: _Source


class _Operation(_Closed):
    methods: list[Method] = Field(min_length=1)
    paths: list[Path] = Field(min_length=1)


class _To(_Closed):
    operation: _Operation


class _Condition(_Closed):
    key: Annotated[str, StringConstraints(pattern=r"^request\.auth\.claims\[\w+\]$")]
    values: list[Text] = Field(min_length=1)


class _AuthorizationRule(_Closed):
    from_: list[_From] = Field(default=[], alias="from")
    to: list[_To] = Field(min_length=1)
    when: list[_Condition] = []


class _AuthorizationPolicySpec(_Closed):
    selector: _Selector
    action: Literal["ALLOW", "DENY"]
    rules: list[_AuthorizationRule] = Field(min_length=1)


class AuthorizationPolicy(_Object):
    """Who may ask what."""

    spec: _AuthorizationPolicySpec


# Gateway API, gateway.networking.k8s.io/v1


class _Name(_Closed):
    name: Text


class _Tls(_Closed):
    mode: Literal["Terminate"]
    certificateRefs: list[_Name] = Field(min_length=1)


class _RouteNamespaces(_Closed):
    from_: Literal["Same", "All"] = Field(alias="from")


class _AllowedRoutes(_Closed):
    namespaces: _RouteNamespaces


class _Listener(_Closed):
    name: Text
    hostname: Text
    port: Port
    protocol: Literal["HTTPS"]
    tls: _Tls
    allowedRoutes: _AllowedRoutes


class _GatewaySpec(_Closed):
    gatewayClassName: Text
    listeners: list[_Listener] = Field(min_length=1)


class Gateway(_Object):
    """Where requests enter."""

    spec: _GatewaySpec


class _Parent(_Closed):
    name: Text
    sectionName: Text


class _PathMatch(_Closed):
    type: Literal["Exact", "PathPrefix"]
    value: Path


class _Match(_Closed):
    path: _PathMatch
    method: Method | None = None


class _Timeouts(_Closed):
    request: Duration


class _Backend(_Closed):
    name: Text
    port: Port
    weight: Annotated[int, Field(ge=0, le=1_000_000)] = 1


class _RouteRule(_Closed):
    matches: list[_Match] = Field(min_length=1)
    timeouts: _Timeouts
    backendRefs: list[_Backend] = Field(min_length=1)


class _HTTPRouteSpec(_Closed):
    parentRefs: list[_Parent] = Field(min_length=1)
    hostnames: list[Text]
    rules: list[_RouteRule] = Field(min_length=1)


class HTTPRoute(_Object):
    """Which request goes where."""

    spec: _HTTPRouteSpec


MODELS: dict[tuple[str, str], type[_Object]] = {
    ("monitoring.coreos.com/v1", "PodMonitor"): PodMonitor,
    ("monitoring.coreos.com/v1", "PrometheusRule"): PrometheusRule,
    ("security.istio.io/v1", "RequestAuthentication"): RequestAuthentication,
    ("security.istio.io/v1", "AuthorizationPolicy"): AuthorizationPolicy,
    ("gateway.networking.k8s.io/v1", "Gateway"): Gateway,
    ("gateway.networking.k8s.io/v1", "HTTPRoute"): HTTPRoute,
}
