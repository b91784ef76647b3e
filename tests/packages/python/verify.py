"""Says of each message on stdin whether `standardwebhooks` takes it: {"secret", "messages": [{"headers", "body"}]}."""
import base64, json, sys

from standardwebhooks.webhooks import Webhook, WebhookVerificationError

given = json.load(sys.stdin)


def verdict(message):
    try:
        Webhook(given["secret"]).verify(base64.b64decode(message["body"]).decode(), message["headers"])
        return "accepted"
    except WebhookVerificationError:
        return "refused"


print(*[verdict(message) for message in given["messages"]])
