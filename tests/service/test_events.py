"""The events of a run: what is committed, in order, and on from where a client was cut off."""

from __future__ import annotations

import contextlib
import json
import signal
from collections.abc import Iterator
from typing import Any

import httpx

from dalsegno.checkpoints import Ledger, open_database
from tests.service.conftest import LIMIT, Serve, Served, until

Event = tuple[str, str, Any]


def events(response: httpx.Response) -> Iterator[Event]:
    """The server-sent events of a response."""
    fields: dict[str, str] = {}
    for line in response.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and fields:
            yield fields["event"], fields["id"], json.loads(fields["data"])
            fields = {}


def followed(service: Served, run_id: str, **headers: str) -> list[Event]:
    """All events of a run until the stream ends."""
    with service.client.stream("GET", f"/v1/runs/{run_id}/events", headers=headers) as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        return list(events(response))


def test_a_run_is_followed_to_its_end(service: Served) -> None:
    found = followed(service, service.start(topic="followed")["run_id"])
    steps = [(data["node"], data["superstep"], data["status"]) for name, _, data in found if name == "step"]
    assert steps == [("write", 1, "done"), ("check", 2, "done"), ("publish", 3, "done")]
    assert [name for name, _, _ in found][-2:] == ["run", "end"]
    assert found[-1][2]["status"] == "completed"
    numbers = [int(id) for _, id, _ in found]
    assert numbers == sorted(numbers)


def test_words_that_are_no_text_end_no_stream(service: Served) -> None:
    run_id = service.start(topic="half a pair")["run_id"]
    service.ended(run_id, "failed")
    (failed,) = (data for name, _, data in followed(service, run_id) if name == "step" and data["error"])
    assert failed["error"]["message"] == "half a pair: ?"


def test_what_happens_is_told_while_it_happens(service: Served) -> None:
    (service.folder / "hold live").touch()
    run_id = service.start(topic="live it")["run_id"]
    with service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        seen = events(response)
        first = next(data for name, _, data in seen if name == "step")
        assert first["node"] == "write"
        assert service.run(run_id)["status"] == "running"
        (service.folder / "hold live").unlink()
        assert [name for name, _, _ in seen][-1] == "end"


def test_a_client_that_was_cut_off_goes_on_after_the_last_that_it_saw(service: Served) -> None:
    run_id = service.start(topic="cut off")["run_id"]
    whole = [event for event in followed(service, run_id) if event[0] == "step"]
    rest = followed(service, run_id, **{"last-event-id": whole[0][1]})
    assert [event for event in rest if event[0] == "step"] == whole[1:]
    by_parameter = service.client.get(f"/v1/runs/{run_id}/events", params={"after": whole[1][1]}).text
    assert by_parameter.count("event: step") == 1


def test_a_browser_that_has_seen_the_end_is_told_not_to_come_back(service: Served) -> None:
    run_id = service.start(topic="over")["run_id"]
    last = followed(service, run_id)[-1][1]
    got = service.client.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": last})
    assert (got.status_code, got.content) == (204, b"")


def test_what_is_no_id_of_an_event_is_refused_with_what_one_looks_like(service: Served) -> None:
    run_id = service.start(topic="no id")["run_id"]
    got = service.client.get(f"/v1/runs/{run_id}/events", headers={"last-event-id": "the last one"})
    assert (got.status_code, got.json()["errors"][0]["field"]) == (422, "header.Last-Event-ID")
    assert "`17` or `17.3`" in got.json()["detail"]


def test_a_run_that_waits_is_followed_on(service: Served) -> None:
    run_id = service.start("asking", "on")["run_id"]
    with service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        seen = events(response)
        for name, _, data in seen:
            if name == "run" and data["status"] == "interrupted":
                break
        assert service.client.post(f"/v1/runs/{run_id}/resume", json={"answer": "no"}).status_code == 202
        assert [data["status"] for name, _, data in seen if name == "end"] == ["completed"]


def test_who_asks_for_the_head_of_its_events_waits_for_none(service: Served) -> None:
    run_id = service.start("asking", "headed")["run_id"]
    service.ended(run_id, "interrupted")
    head = service.client.head(f"/v1/runs/{run_id}/events")
    assert head.headers["content-type"].startswith("text/event-stream")
    assert service.run(run_id)["status"] == "interrupted"  # on the same connection


def test_who_follows_a_run_that_is_deleted_is_let_go(service: Served) -> None:
    run_id = service.start("asking", "deleted", thread="deleted")["run_id"]
    service.ended(run_id, "interrupted")
    with service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        seen = events(response)
        assert next(seen)
        database = open_database(service.folder / "runs.db")
        Ledger(database).delete_thread("deleted")
        database.close()
        assert "end" not in [name for name, _, _ in seen]
    assert service.client.get(f"/v1/runs/{run_id}/events").status_code == 404
    assert "Traceback" not in service.log.read_text()


def test_a_run_that_is_given_up_for_another_one_has_an_end(service: Served) -> None:
    run_id = service.start("asking", "given up", thread="given up")["run_id"]
    service.ended(run_id, "interrupted")
    with service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        seen = events(response)
        assert next(seen)
        service.start("asking", "instead", thread="given up", abandon=True)
        assert [data["status"] for name, _, data in seen if name == "end"] == ["interrupted"]


def test_events_go_on_with_the_next_process_after_a_kill(serve: Serve, url: str) -> None:
    first = serve("--db", url)
    (first.folder / "hold killed").touch()
    run_id = first.start(topic="killed while watched")["run_id"]
    last = _watched_and_killed(first, run_id)
    second = serve("--db", url)
    (first.folder / "hold killed").unlink()
    rest = followed(second, run_id, **{"last-event-id": last})
    assert [data["node"] for name, _, data in rest if name == "step"] == ["check", "publish"]


def test_a_service_that_stops_lets_its_watchers_go(serve: Serve) -> None:
    service = serve()
    run_id = service.start("asking", "let go")["run_id"]
    with service.client.stream("GET", f"/v1/runs/{run_id}/events") as response:
        seen = events(response)
        assert next(seen)
        service.process.send_signal(signal.SIGTERM)
        assert [
            name for name, _, _ in seen if name == "end"
        ] == []  # there will be more, from the next process
    assert service.process.wait() == 0


def _watched_and_killed(service: Served, run_id: str) -> str:
    """Follow a run, kill the service at its first step, and give the last event's id."""
    last = "0"
    with (
        contextlib.suppress(httpx.HTTPError),
        service.client.stream("GET", f"/v1/runs/{run_id}/events") as response,
    ):
        for name, id, _ in events(response):
            last = id
            if name == "step":
                service.kill()
    return last


def test_a_client_watches_so_many_runs_and_no_more(serve: Serve) -> None:
    service = serve("--streams", "2")
    run_id = service.start("asking", "many")["run_id"]
    address = f"/v1/runs/{run_id}/events"
    with service.client.stream("GET", address) as one, service.client.stream("GET", address) as two:
        assert (one.status_code, two.status_code) == (200, 200)
        seen = [events(one), events(two)]
        assert all(next(each) for each in seen)
        got = service.client.get(address)
        assert (got.status_code, got.headers["retry-after"]) == (429, "5")
    until(lambda: _can_watch(service, address), "a place is free again")


def _can_watch(service: Served, address: str) -> bool:
    with service.client.stream("GET", address, timeout=LIMIT) as again:
        return again.status_code == 200


def test_waiting_for_a_run_ends_with_it_or_after_so_long(service: Served) -> None:
    (service.folder / "hold wait").touch()
    run_id = service.start(topic="wait for it")["run_id"]
    assert service.run(run_id, wait=0.1)["status"] in ("queued", "running")
    (service.folder / "hold wait").unlink()
    assert service.run(run_id, wait=60)["status"] == "completed"
