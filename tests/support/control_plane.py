"""A real API server on free ports: etcd and kube-apiserver, where there are binaries of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from kubernetes import client

from tests.support.process import free_port

ADMIN = "an-administrator"
_FOLDER = "KUBEBUILDER_ASSETS"


def binaries() -> tuple[str, str]:
    """Paths of etcd and kube-apiserver; skips the test where they are missing."""
    assets = os.environ.get(_FOLDER)
    path = os.pathsep.join([assets] if assets else []) + os.pathsep + os.environ.get("PATH", "")
    found = [shutil.which(name, path=path) for name in ("etcd", "kube-apiserver")]
    if None in found:
        pytest.skip(f"no etcd and kube-apiserver: put them on PATH or name their folder in {_FOLDER}")
    return str(found[0]), str(found[1])


class ControlPlane:
    """Storage and API of a cluster: no scheduler, no controllers, no nodes.

    Parameters
    ----------
    folder : Path
        For keys, certificates, data and logs.
    """

    def __init__(self, folder: Path):
        self._etcd, self._apiserver = binaries()
        self._folder = folder
        self._store, peers, self._port = free_port(), free_port(), free_port()
        self.host = f"https://127.0.0.1:{self._port}"
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        pem = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL)
        (folder / "sa.key").write_bytes(key.private_bytes(*pem, serialization.NoEncryption()))
        (folder / "tokens.csv").write_text(f"{ADMIN},admin,admin,system:masters\n")
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        own = f"http://127.0.0.1:{self._store}"
        peer = f"http://127.0.0.1:{peers}"
        flags = {
            "data-dir": str(folder / "etcd"),
            "listen-client-urls": own,
            "advertise-client-urls": own,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
        }
        self._start(self._etcd, flags)
        self.start()

    def _start(self, program: str, flags: dict[str, str]) -> None:
        name = Path(program).name
        with (self._folder / f"{name}.log").open("ab") as log:
            command = [program, *(f"--{flag}={value}" for flag, value in flags.items())]
            self._processes[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def start(self) -> None:
        """Start the API server, and wait until it is ready."""
        key = str(self._folder / "sa.key")
        flags = {
            "etcd-servers": f"http://127.0.0.1:{self._store}",
            "secure-port": str(self._port),
            "bind-address": "127.0.0.1",
            # A certificate is made there.
            "cert-dir": str(self._folder / "certificates"),
            "token-auth-file": str(self._folder / "tokens.csv"),
            "authorization-mode": "RBAC",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-key-file": key,
            "service-account-signing-key-file": key,
            "service-cluster-ip-range": "10.0.0.0/24",
            # What makes pods is not here.
            "disable-admission-plugins": "ServiceAccount",
        }
        self._start(self._apiserver, flags)
        until = time.monotonic() + 120
        while True:
            try:
                with self.client() as api:
                    api.call_api("/readyz", "GET", auth_settings=["BearerToken"], _request_timeout=5)
                return
            except (OSError, client.ApiException, urllib3.exceptions.HTTPError):
                time.sleep(0.2)
            log = (self._folder / "kube-apiserver.log").read_text()[-3000:]
            assert self._processes["kube-apiserver"].poll() is None, log
            assert time.monotonic() < until, log

    def kill(self, *names: str) -> None:
        """End processes as kill -9 does; all by default."""
        for name in names or tuple(self._processes):
            self._processes[name].kill()
            self._processes[name].wait()

    def configuration(self, token: str = ADMIN) -> client.Configuration:
        """What the client needs to come in with a token."""
        made = client.Configuration()
        made.host, made.retries = self.host, False
        # The API server makes itself a certificate, which has to be there before the first call.
        made.ssl_ca_cert = str(self._folder / "certificates" / "apiserver.crt")
        made.api_key, made.api_key_prefix = {"authorization": token}, {"authorization": "Bearer"}
        return made

    def client(self, token: str = ADMIN) -> client.ApiClient:
        """A client with a token, an administrator's by default."""
        return client.ApiClient(self.configuration(token))

    def token_of(self, account: str, namespace: str) -> str:
        """A token of a service account, as pods get one."""
        body = client.AuthenticationV1TokenRequest(spec=client.V1TokenRequestSpec(audiences=[]))
        with self.client() as api:
            made = client.CoreV1Api(api).create_namespaced_service_account_token(account, namespace, body)
        return str(made.status.token)

    def install(self, crd: dict[str, Any]) -> None:
        """Install a CustomResourceDefinition, and wait until it is served."""
        with self.client() as api:
            extensions = client.ApiextensionsV1Api(api)
            extensions.create_custom_resource_definition(crd)
            name = crd["metadata"]["name"]
            for _ in range(600):
                conditions = extensions.read_custom_resource_definition(name).status.conditions or []
                if {"Established": "True"}.items() <= {row.type: row.status for row in conditions}.items():
                    return
                time.sleep(0.1)
        raise AssertionError(f"{name} is not served")
