"""Upload pipelines to a KFP endpoint and schedule them; doing so again changes nothing."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import logging
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import kfp
from kfp_server_api import ApiException, V2beta1Pipeline, V2beta1RecurringRun
from urllib3.exceptions import HTTPError

from components.contract.errors import WaymarkError

PAGE_SIZE = 100
# The day for which a recurring run was due, UTC; the rest is Go's way to write a layout.
SCHEDULED_DAY = "[[ScheduledTime.2006-01-02]]"


@dataclass(frozen=True)
class Version:
    """An uploaded pipeline version.

    Attributes
    ----------
    pipeline_id, version_id : str
        KFP's identifiers.
    name : str
        Hash of the content.
    created : bool
        False if it was there already.
    """

    pipeline_id: str
    version_id: str
    name: str
    created: bool


@dataclass(frozen=True)
class Schedule:
    """When a pipeline runs, and with what.

    Attributes
    ----------
    cron : str
        Six fields, seconds first.
    arguments : mapping
        Parameters of the pipeline.
    account : str
        Service account of the steps; empty: KFP's own.
    """

    cron: str
    arguments: Mapping[str, Any]
    account: str = ""


@contextlib.contextmanager
def _plain_errors(host: str = "the KFP endpoint") -> Iterator[None]:
    # The client prints links, warns of its version and of every retry; the error alone matters here.
    retries = logging.getLogger("urllib3.connectionpool")
    level = retries.level
    retries.setLevel(logging.ERROR)
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    except ApiException as error:
        raise WaymarkError(f"{host} refuses: {error.status} {error.reason}") from error
    except HTTPError as error:
        raise WaymarkError(f"{host} does not answer: {error}") from error
    finally:
        retries.setLevel(level)


def connect(host: str, namespace: str | None = None) -> kfp.Client:
    """Open a client.

    Raises
    ------
    WaymarkError
        The endpoint does not answer.
    """
    with _plain_errors(host):
        client = kfp.Client(host=host, namespace=namespace or "kubeflow")
        client.get_kfp_healthz()
    return client


def _named(name: str) -> str:
    return json.dumps({"predicates": [{"operation": "EQUALS", "key": "display_name", "stringValue": name}]})


def upload_package(client: kfp.Client, name: str, package: Path, namespace: str | None = None) -> Version:
    """Upload a compiled pipeline as a version named by its content.

    Parameters
    ----------
    client : kfp.Client
    name : str
        Pipeline name in the UI; made if absent.
    package : Path
        IR YAML.
    namespace : str, optional
        Where KFP is multi-user.
    """
    content = hashlib.sha256(package.read_bytes()).hexdigest()[:12]
    with _plain_errors():
        pipeline_id = _pipeline_id(client, name, namespace)
        found = client.list_pipeline_versions(pipeline_id, page_size=PAGE_SIZE, filter=_named(content))
        for version in found.pipeline_versions or []:
            if version.display_name == content:
                return Version(pipeline_id, version.pipeline_version_id, content, created=False)
        made = client.upload_pipeline_version(str(package), content, pipeline_id=pipeline_id)
        return Version(pipeline_id, made.pipeline_version_id, content, created=True)


def _pipeline_id(client: kfp.Client, name: str, namespace: str | None) -> str:
    """The pipeline of a name, made if absent: empty, for an upload would add a version named after it."""
    found = client.list_pipelines(page_size=PAGE_SIZE, filter=_named(name), namespace=namespace)
    for pipeline in found.pipelines or []:
        if pipeline.display_name == name:
            return pipeline.pipeline_id
    wanted = V2beta1Pipeline(name=name, display_name=name, namespace=namespace)
    return client._pipelines_api.pipeline_service_create_pipeline(pipeline=wanted).pipeline_id


def schedule_pipeline(
    client: kfp.Client,
    name: str,
    version: Version,
    wanted: Schedule,
    experiment: str = "waymark",
    namespace: str | None = None,
) -> str:
    """Let a pipeline version run by a cron, in place of any earlier schedule of its name.

    What is there is compared with what is wanted; one that differs in anything is replaced.

    Parameters
    ----------
    client : kfp.Client
    name : str
        Name of the recurring run.
    version : Version
        What it runs.
    wanted : Schedule
        One run at a time, and missed times are not caught up.
    experiment : str
        Made if absent.
    namespace : str, optional
        Where KFP is multi-user.

    Returns
    -------
    str
        ``scheduled``, ``replaced`` or ``unchanged``.

    Raises
    ------
    WaymarkError
        The cron has not six fields, or the endpoint refuses.
    """
    if len(wanted.cron.split()) != 6:
        raise WaymarkError(f"cron {wanted.cron!r}: KFP wants six fields, seconds first, like '0 30 2 * * *'")
    with _plain_errors():
        home = client.create_experiment(experiment, namespace=namespace)
        found = client.list_recurring_runs(
            page_size=PAGE_SIZE, experiment_id=home.experiment_id, filter=_named(name)
        )
        old = [run for run in found.recurring_runs or [] if run.display_name == name]
        same = [run for run in old if _same(run, version, wanted)]
        if not same:
            client.create_recurring_run(
                experiment_id=home.experiment_id,
                job_name=name,
                cron_expression=wanted.cron,
                max_concurrency=1,
                no_catchup=True,
                params=dict(wanted.arguments),
                pipeline_id=version.pipeline_id,
                version_id=version.version_id,
                service_account=wanted.account or None,
            )
        # The new schedule is in place first: a failure in between leaves one too many, never none.
        for run in old:
            if run not in same[:1]:
                client.delete_recurring_run(run.recurring_run_id)
    if same:
        return "unchanged"
    return "replaced" if old else "scheduled"


def _same(run: V2beta1RecurringRun, version: Version, wanted: Schedule) -> bool:
    reference = run.pipeline_version_reference
    schedule = run.trigger.cron_schedule if run.trigger else None
    return bool(
        reference
        and schedule
        and reference.pipeline_version_id == version.version_id
        and schedule.cron == wanted.cron
        and run.status != "DISABLED"
        and run.no_catchup
        and str(run.max_concurrency) == "1"
        and (not wanted.account or run.service_account == wanted.account)
        and run.runtime_config
        and run.runtime_config.parameters == dict(wanted.arguments)
    )
