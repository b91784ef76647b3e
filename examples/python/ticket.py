"""Makes a ticket of a newly opened GitHub issue and drops every other event.

Config: `{ queue = "support" }`, where the ticket goes.
"""

import json

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.transform import Outcome, Outcome_Deliver, Outcome_Drop
from wit_world.imports import host
from wit_world.imports.host import Level
from wit_world.imports.incoming import Event
from wit_world.imports.types import Error_Config, Error_Invalid, Message

queue: str


class Lifecycle(exports.Lifecycle):
    def configure(self, config: str) -> None:
        global queue
        given = (json.loads(config) or {}).get("queue")
        if not isinstance(given, str):
            raise Err(Error_Config("`queue` must be the name of a queue"))
        queue = given


class Transform(exports.Transform):
    def transform(self, e: Event, body: bytes) -> Outcome:
        kind = e.event_type() or "an event without a type"
        if kind != "issues":
            return Outcome_Drop(f"{kind} is not about an issue")
        try:
            return ticket(json.loads(body))
        except (ValueError, KeyError, TypeError) as error:
            # Never will it be what we expect: the event becomes a dead letter.
            raise Err(Error_Invalid(f"not an issue: {error!r}"))


def ticket(payload: dict) -> Outcome:
    if payload["action"] != "opened":
        return Outcome_Drop(f"the issue is {payload['action']}")
    issue = payload["issue"]
    made = {
        "queue": queue,
        "repo": payload["repository"]["full_name"],
        "title": issue["title"],
        "url": issue["html_url"],
    }
    host.log(Level.INFO, f"issue {issue['number']} goes to {queue}")
    return Outcome_Deliver([message(made)])


def message(made: dict) -> Message:
    return Message(
        headers=[("content-type", b"application/json")],
        body=json.dumps(made, ensure_ascii=False).encode(),
        destinations=None,
        key=None,
        attributes=[],
    )
