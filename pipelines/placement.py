"""What each step needs of a cluster: cores, memory, time, HOME, a GPU, retries, caching.

The compiler writes it into the IR and its Kubernetes part; the local runner passes over it. What
differs from site to site comes from the environment, as the images' names do, and is read once, when
the pipelines are imported.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from kfp import dsl, kubernetes
from kfp.dsl import PipelineTask
from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from components.contract.errors import WaymarkError
from components.contract.notify import WEBHOOK
from components.contract.time import DAY

# User and group of the images, and of the volume HOME (manifests/base/storage.yaml).
USER = 10001
_HOUR = 3600
_QUANTITY = re.compile(r"[^=\s]+/[^=\s]+=[1-9]\d*")
_LABEL = re.compile(r"[^=\s]+=[^=\s]*")


class Site(BaseSettings):
    """What differs from cluster to cluster; ``WAYMARK_GPU`` and so on in the environment."""

    model_config = SettingsConfigDict(env_prefix="WAYMARK_", frozen=True)

    gpu: str = Field("", description="GPUs of a training step, like nvidia.com/gpu=1; empty: trains on CPUs")
    gpu_node: str = Field(
        "nvidia.com/gpu.present=true", description="label of nodes with GPUs; empty: any node"
    )
    home_claim: str = Field(
        "waymark-home", description="claim of the volume HOME; empty: no volume is mounted"
    )
    home_path: str = Field("/mnt/waymark", description="where steps find HOME")
    webhook_secret: str = Field(
        "waymark-webhook", description="Secret whose key url is the webhook; it need not exist"
    )

    @field_validator("gpu")
    @classmethod
    def _gpu(cls, value: str) -> str:
        if value and not _QUANTITY.fullmatch(value):
            raise ValueError("a resource and a number are expected, like nvidia.com/gpu=1")
        return value

    @field_validator("gpu_node")
    @classmethod
    def _gpu_node(cls, value: str) -> str:
        if value and not _LABEL.fullmatch(value):
            raise ValueError("a label is expected, like nvidia.com/gpu.present=true")
        return value


def read_site() -> Site:
    """Read the site's settings from the environment.

    Raises
    ------
    WaymarkError
        A value does not fit; the message names the variable.
    """
    try:
        return Site()
    except ValidationError as error:
        first = error.errors()[0]
        name = "WAYMARK_" + str(first["loc"][0]).upper()
        raise WaymarkError(f"{name}: {first['msg']} (got {first['input']!r})") from error


SITE = read_site()


@dataclass(frozen=True)
class Needs:
    """What one step needs.

    Attributes
    ----------
    cpu, memory : str
        Kubernetes quantities. Memory is request and limit alike, so that a node is never overbooked;
        cores are a request alone.
    hours : float
        The step fails after this.
    retries : int
        Tries after the first, one, two, four, ... minutes later. A step that fails for a reason
        (configure, validate, gate) would fail again.
    cached : bool
        False for what reads or changes HOME's releases, which the cache's key cannot see.
    home, gpu, webhook : bool
        The volume HOME, GPUs where the site has them, the webhook's URL.
    """

    cpu: str
    memory: str
    hours: float
    retries: int = 2
    cached: bool = True
    home: bool = False
    gpu: bool = False
    webhook: bool = False


# Enough for a million associates; memory of the steps that read the log grows with it (docs/runbook.md).
NEEDS = {
    "configure": Needs("100m", "512Mi", 0.5, retries=0, cached=False),
    # It reads HOME/feedback, which like the data belongs to the run's date.
    "ingest": Needs("2", "8Gi", 4, home=True),
    "validate": Needs("2", "8Gi", 4, retries=0, cached=False, home=True, webhook=True),
    # Cached all the same: what it keeps in HOME changes how long it takes, not what it finds.
    "preprocess": Needs("4", "16Gi", 8, home=True),
    "transitions": Needs("2", "8Gi", 4),
    "neighbours": Needs("2", "8Gi", 4),
    "skip-gram": Needs("4", "8Gi", 8),
    "content-similarity": Needs("2", "8Gi", 4),
    "two-tower": Needs("4", "16Gi", 12, gpu=True),
    "trending": Needs("1", "4Gi", 2),
    "candidates": Needs("4", "16Gi", 8),
    "ranker": Needs("4", "16Gi", 12, gpu=True),
    "evaluate": Needs("2", "8Gi", 4, cached=False, home=True),
    "lists": Needs("2", "4Gi", 4),
    "embedding-map": Needs("1", "4Gi", 1),
    "smoke": Needs("1", "8Gi", 1),
    "gate": Needs("100m", "1Gi", 0.5, retries=0, cached=False, home=True, webhook=True),
    "release": Needs("1", "4Gi", 2, cached=False, home=True),
    "from-release": Needs("100m", "1Gi", 1, cached=False, home=True),
    # Twelve hours for its turn, three steps of at most 1 + 6 hours and half an hour to get ready, the end.
    "rollout": Needs("100m", "512Mi", 37, cached=False, home=True, webhook=True),
    "widen": Needs("100m", "512Mi", 0.5),
    "begin-search": Needs("4", "16Gi", 4, cached=False, home=True, gpu=True),
    "search": Needs("4", "16Gi", 48, cached=False, home=True, gpu=True),
    "finish-search": Needs("4", "16Gi", 8, cached=False, home=True, gpu=True),
}


def place(task: PipelineTask) -> PipelineTask:
    """Give a step what it needs."""
    needs = NEEDS[task.component_spec.name]
    task.set_cpu_request(needs.cpu).set_memory_request(needs.memory).set_memory_limit(needs.memory)
    task.set_caching_options(needs.cached)
    kubernetes.set_timeout(task, int(needs.hours * _HOUR))
    kubernetes.set_security_context(task, run_as_user=USER, run_as_group=USER, run_as_non_root=True)
    if needs.retries:
        task.set_retry(num_retries=needs.retries, backoff_duration="60s", backoff_factor=2)
    if needs.home and SITE.home_claim:
        kubernetes.mount_pvc(task, SITE.home_claim, SITE.home_path)
    if needs.webhook and SITE.webhook_secret:
        kubernetes.use_secret_as_env(task, SITE.webhook_secret, {"url": WEBHOOK}, optional=True)
    if needs.gpu and SITE.gpu:
        resource, number = SITE.gpu.split("=")
        task.set_accelerator_type(resource).set_accelerator_limit(int(number))
        kubernetes.add_toleration(task, key=resource, operator="Exists", effect="NoSchedule")
        if SITE.gpu_node:
            label, value = SITE.gpu_node.split("=")
            kubernetes.add_node_selector(task, label, value)
    return task


def lasting(days: int) -> dsl.PipelineConfig:
    """End a run after so many days; delete its pods three days after success, two weeks after failure.

    Artifacts, figures and the run in the UI stay.
    """
    return dsl.PipelineConfig(
        ttl_seconds_after_success=int(3 * DAY),
        ttl_seconds_after_failure=int(14 * DAY),
        active_deadline_seconds=int(days * DAY),
    )
