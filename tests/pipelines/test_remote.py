"""Upload and schedule against a small KFP API server: the real client over real HTTP."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlparse

import pytest
from typer.testing import CliRunner

from components.contract.errors import WaymarkError
from pipelines.cli import PipelineName, app
from pipelines.remote import Schedule, Version, connect, schedule_pipeline, upload_package

API = "/apis/v2beta1"


class Api(BaseHTTPRequestHandler):
    """The endpoints of KFP's v2beta1 API that Waymark uses, kept in the server's ``store``."""

    def log_message(self, *_):
        pass

    def answer(self, body, status=200):
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def add(self, kind, **entry):
        entry = {f"{kind}_id": f"{kind}-{len(self.server.calls)}", **entry}
        self.server.store[kind].append(entry)
        return entry

    def handle_any(self):
        url = urlparse(self.path)
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = url.path.removeprefix(API)
        store = self.server.store
        self.server.calls.append((self.command, path))

        def named(kind):
            wanted = json.loads(query["filter"])["predicates"][0] if "filter" in query else None
            value = wanted and (wanted.get("stringValue") or wanted.get("string_value"))
            return [entry for entry in store[kind] if wanted is None or entry["display_name"] == value]

        if self.server.refuse and self.command == "POST":
            self.answer({"error": "no"}, 403)
        elif path == "/healthz":
            self.answer({"multi_user": False})
        elif (self.command, path) == ("GET", "/pipelines"):
            # Where KFP is multi-user, a namespace's pipelines are listed by its name alone.
            mine = [one for one in named("pipeline") if one.get("namespace") == query.get("namespace")]
            self.answer({"pipelines": mine})
        elif (self.command, path) == ("POST", "/pipelines"):
            wanted = json.loads(body)
            taken = any(
                (entry["name"], entry.get("namespace")) == (wanted["name"], wanted.get("namespace"))
                for entry in store["pipeline"]
            )
            self.answer(*(({"error": "exists"}, 409) if taken else (self.add("pipeline", **wanted),)))
        elif path == "/pipelines/upload_version":
            entry = {"display_name": query["name"], "pipeline_id": query["pipelineid"]}
            self.answer(self.add("pipeline_version", **entry))
        elif match := re.fullmatch(r"/pipelines/(.+)/versions", path):
            versions = [entry for entry in named("pipeline_version") if entry["pipeline_id"] == match[1]]
            self.answer({"pipeline_versions": versions})
        elif (self.command, path) == ("GET", "/experiments"):
            self.answer({"experiments": named("experiment")})
        elif (self.command, path) == ("POST", "/experiments"):
            self.answer(self.add("experiment", **json.loads(body)))
        elif (self.command, path) == ("GET", "/recurringruns"):
            self.answer({"recurringRuns": named("recurring_run")})
        elif (self.command, path) == ("POST", "/recurringruns"):
            self.answer(self.add("recurring_run", **json.loads(body)))
        elif self.command == "DELETE" and path.startswith("/recurringruns/"):
            store["recurring_run"] = [
                entry for entry in store["recurring_run"] if entry["recurring_run_id"] != path.split("/")[-1]
            ]
            self.answer({})
        else:
            self.answer({"error": f"unknown {self.command} {path}"}, 404)

    do_GET = do_POST = do_DELETE = handle_any


@pytest.fixture
def server():
    kinds = ("pipeline", "pipeline_version", "experiment", "recurring_run")
    server = ThreadingHTTPServer(("127.0.0.1", 0), Api)
    server.store, server.calls, server.refuse = {kind: [] for kind in kinds}, [], False
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.fixture
def client(server, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    return connect(f"http://127.0.0.1:{server.server_port}")


@pytest.fixture
def package(tmp_path):
    path = tmp_path / "daily.yaml"
    path.write_text("pipelineInfo: {name: daily}\n")
    return path


def test_version_is_named_by_content_and_uploaded_once(server, client, package):
    first = upload_package(client, "daily", package)
    again = upload_package(client, "daily", package)
    assert (first.created, again.created) == (True, False)
    assert (first.name, first.version_id) == (again.name, again.version_id)
    package.write_text("pipelineInfo: {name: daily, description: changed}\n")
    changed = upload_package(client, "daily", package)
    assert changed.created
    assert changed.name != first.name
    assert changed.pipeline_id == first.pipeline_id
    assert len(server.store["pipeline"]) == 1
    assert [entry["display_name"] for entry in server.store["pipeline_version"]] == [first.name, changed.name]


def test_a_namespace_has_pipelines_of_its_own(server, client, package):
    first = upload_package(client, "daily", package, namespace="team")
    again = upload_package(client, "daily", package, namespace="team")
    assert (again.pipeline_id, again.created) == (first.pipeline_id, False)
    shared = upload_package(client, "daily", package)
    assert shared.pipeline_id != first.pipeline_id
    assert [entry.get("namespace") for entry in server.store["pipeline"]] == ["team", None]


def test_an_upload_that_was_cut_off_is_completed(server, client, package):
    """The pipeline is there, its version is not."""
    server.store["pipeline"].append({"pipeline_id": "p7", "name": "daily", "display_name": "daily"})
    version = upload_package(client, "daily", package)
    assert (version.pipeline_id, version.created) == ("p7", True)
    assert len(server.store["pipeline"]) == 1


def scheduled(client, version=None, cron="0 30 2 * * *", settings=None, account="waymark-pipelines"):
    version = version or Version("p", "v1", "abc", created=False)
    wanted = Schedule(cron, {"data": "s3://log", "settings": settings or {}}, account)
    return schedule_pipeline(client, "daily", version, wanted)


def test_schedule_neither_catches_up_nor_overlaps(server, client):
    assert scheduled(client) == "scheduled"
    [run] = server.store["recurring_run"]
    assert run["trigger"]["cron_schedule"]["cron"] == "0 30 2 * * *"
    assert run["no_catchup"] is True
    assert run["max_concurrency"] == "1" or run["max_concurrency"] == 1
    assert run["mode"] == "ENABLE"
    assert run["service_account"] == "waymark-pipelines"
    assert run["pipeline_version_reference"] == {"pipeline_id": "p", "pipeline_version_id": "v1"}
    assert run["runtime_config"]["parameters"] == {"data": "s3://log", "settings": {}}


def test_scheduling_again_changes_nothing(server, client):
    scheduled(client)
    before = list(server.store["recurring_run"])
    assert scheduled(client) == "unchanged"
    assert server.store["recurring_run"] == before
    assert len(server.store["experiment"]) == 1


@pytest.mark.parametrize(
    "change",
    [
        {"cron": "0 0 3 * * *"},
        {"version": Version("p", "v2", "def", created=True)},
        {"settings": {"two_tower": {"epochs": 3}}},
        {"account": "another"},
    ],
)
def test_change_replaces_the_schedule(server, client, change):
    scheduled(client)
    [old] = server.store["recurring_run"]
    assert scheduled(client, **change) == "replaced"
    [new] = server.store["recurring_run"]
    assert new["recurring_run_id"] != old["recurring_run_id"]
    # The old one goes only once the new one stands.
    writes = [(method, path) for method, path in server.calls if "recurringruns" in path and method != "GET"]
    assert [method for method, _ in writes] == ["POST", "POST", "DELETE"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_concurrency", "5"),
        ("no_catchup", False),
        ("status", "DISABLED"),
        ("service_account", "default-editor"),
        ("trigger", {"periodic_schedule": {"interval_second": "60"}}),
    ],
)
def test_what_was_changed_by_hand_is_put_right(server, client, field, value):
    scheduled(client)
    server.store["recurring_run"][0][field] = value
    assert scheduled(client) == "replaced"
    [run] = server.store["recurring_run"]
    assert run.get(field) != value
    assert scheduled(client) == "unchanged"


def test_a_schedule_that_was_lost_is_made_again(server, client):
    scheduled(client)
    server.store["recurring_run"].clear()
    assert scheduled(client) == "scheduled"
    assert len(server.store["recurring_run"]) == 1


def test_without_an_account_kfps_own_stays(server, client):
    scheduled(client, account="")
    [run] = server.store["recurring_run"]
    assert "service_account" not in run
    run["service_account"] = "pipeline-runner"
    assert scheduled(client, account="") == "unchanged"


def test_duplicates_are_reduced_to_one(server, client):
    scheduled(client)
    [run] = server.store["recurring_run"]
    server.store["recurring_run"].append({**run, "recurring_run_id": "copy"})
    assert scheduled(client) == "unchanged"
    assert server.store["recurring_run"] == [run]


@pytest.mark.parametrize("cron", ["30 2 * * *", "", "0 0 0 * * * *"])
def test_cron_needs_six_fields(client, cron):
    with pytest.raises(WaymarkError, match="six fields"):
        scheduled(client, cron=cron)


@pytest.fixture
def command(server, client):
    """The command line against the server."""

    def call(*arguments):
        host = ["--host", f"http://127.0.0.1:{server.server_port}"]
        done = CliRunner().invoke(app, [*arguments, *host])
        assert done.exit_code == 0, done.output
        return [line.split()[-1] for line in done.output.splitlines()]

    return call


def test_commands_bring_a_bare_endpoint_to_the_wanted_state_and_then_change_nothing(server, command):
    assert command("upload") == ["uploaded"] * len(PipelineName)
    given = ("schedule", "--data", "/mnt/waymark/log", "--set", "release.keep=5")
    assert command(*given) == ["scheduled"] * 3
    kept = json.dumps(server.store, sort_keys=True)
    versions = {entry["pipeline_version_id"] for entry in server.store["pipeline_version"]}
    assert len(versions) == len(PipelineName)
    crons = {}
    for run in server.store["recurring_run"]:
        assert run["pipeline_version_reference"]["pipeline_version_id"] in versions
        # Without --home it is the pipelines' own default, where the volume is mounted.
        assert run["runtime_config"]["parameters"] == {
            "data": "/mnt/waymark/log",
            "settings": {"release": {"keep": 5}},
            "date": "[[ScheduledTime.2006-01-02]]",
        }
        assert (run["no_catchup"], str(run["max_concurrency"])) == (True, "1")
        crons[run["display_name"]] = run["trigger"]["cron_schedule"]["cron"]
    assert crons == {
        "daily_candidates": "0 30 2 * * *",
        "weekly_embeddings": "0 30 3 * * 0",
        "monthly_ranker": "0 30 4 1 * *",
    }

    assert command("upload") == ["unchanged"] * len(PipelineName)
    assert command(*given) == ["unchanged"] * 3
    assert json.dumps(server.store, sort_keys=True) == kept

    # One is changed by hand, one is gone: these two alone are made anew.
    server.store["recurring_run"][0]["status"] = "DISABLED"
    server.store["recurring_run"].pop()
    assert sorted(command(*given)) == ["replaced", "scheduled", "unchanged"]
    assert len(server.store["recurring_run"]) == 3


def test_settings_are_checked_before_anything_is_scheduled(server, client):
    given = ["schedule", "--data", "d", "--set", "relaese.keep=5"]
    done = CliRunner().invoke(app, [*given, "--host", f"http://127.0.0.1:{server.server_port}"])
    assert isinstance(done.exception, WaymarkError)
    assert "relaese" in str(done.exception)
    assert server.store["recurring_run"] == server.store["pipeline"] == []


def test_refusal_and_silence_are_plain_errors(server, client, package, tmp_path):
    server.refuse = True
    with pytest.raises(WaymarkError, match="403"):
        upload_package(client, "daily", package)
    with pytest.raises(WaymarkError, match="does not answer"):
        connect("http://127.0.0.1:9")
