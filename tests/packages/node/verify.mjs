// Says of each message on stdin whether `standardwebhooks` takes it: {"secret", "messages": [{"headers", "body"}]}.
import { text } from "node:stream/consumers";

import { Webhook, WebhookVerificationError } from "standardwebhooks";

const { secret, messages } = JSON.parse(await text(process.stdin));

function verdict({ headers, body }) {
  try {
    new Webhook(secret).verify(Buffer.from(body, "base64").toString(), headers);
    return "accepted";
  } catch (error) {
    if (error instanceof WebhookVerificationError) return "refused";
    throw error;
  }
}

console.log(messages.map(verdict).join(" "));
