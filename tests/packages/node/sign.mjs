// Prints requests as providers send them, signed by the packages that they publish: a JSON list on stdout.
import { createHash } from "node:crypto";

import { Signature } from "@hubspot/api-client";
import { sign as octokit } from "@octokit/webhooks-methods";
import braintree from "braintree";
import { AccessToken } from "livekit-server-sdk";
import { Webhook as StandardWebhook } from "standardwebhooks";
import Stripe from "stripe";
import { Webhook as SvixWebhook } from "svix";
import twilio from "twilio";

const ORIGIN = "https://hooks.test";
const BODY = JSON.stringify({ id: "evt_1", type: "invoice.paid", text: "Grüße, 世界 \u2028" });
const WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const FORM = "application/x-www-form-urlencoded";
const now = new Date();
const unix = Math.floor(now / 1000);
const cases = [];

const path = (pkg, preset) => `/node/${pkg.replace("@", "")}/${preset}`;
const base64 = (text) => Buffer.from(text).toString("base64");

/** `tampered` takes the place of the body that was signed; by default its last byte is another one. */
function add(pkg, verify, headers, body = BODY, { tampered = body.slice(0, -1) + "?", query = "" } = {}) {
  cases.push({
    package: pkg,
    verify,
    path: path(pkg, verify.preset) + query,
    headers,
    body: base64(body),
    tampered: { headers, body: base64(tampered) },
  });
}

function standard(pkg, Webhook, preset, prefix) {
  const signature = new Webhook(WHSEC).sign("msg_1", now, BODY);
  const verify = { preset, secrets: [WHSEC] };
  const headers = { id: "msg_1", timestamp: String(unix), signature };
  const named = Object.entries(headers).map(([name, value]) => [`${prefix}-${name}`, value]);
  add(pkg, verify, Object.fromEntries(named));
}
standard("standardwebhooks", StandardWebhook, "standard-webhooks", "webhook");
standard("svix", SvixWebhook, "svix", "svix");

const stripe = new Stripe("sk_test").webhooks.generateTestHeaderString({ payload: BODY, secret: WHSEC });
add("stripe", { preset: "stripe", secrets: [WHSEC] }, { "stripe-signature": stripe });

add("@octokit/webhooks-methods", { preset: "github", secrets: ["mysecret"] }, {
  "x-hub-signature-256": await octokit("mysecret", BODY),
  "x-github-delivery": "1",
});

const form = { From: "+14158675309", Body: "Grüße & mehr", Digits: "1234" };
const twilioSecret = { preset: "twilio", secrets: ["12345"], url: ORIGIN };
const twilioUrl = ORIGIN + path("twilio", "twilio");
add("twilio", twilioSecret, {
  "content-type": FORM,
  "x-twilio-signature": twilio.getExpectedTwilioSignature("12345", twilioUrl, form),
}, new URLSearchParams(form).toString());
const query = `?bodySHA256=${twilio.getExpectedBodyHash(BODY)}`;
add("twilio", twilioSecret, {
  "content-type": "application/json",
  "x-twilio-signature": twilio.getExpectedTwilioSignature("12345", twilioUrl + query, {}),
}, BODY, { query });

for (const version of ["v1", "v2", "v3"]) {
  const preset = `hubspot-${version}`;
  const url = ORIGIN + path("@hubspot/api-client", preset);
  const timestamp = now.getTime();
  const options = { clientSecret: "client-secret", requestBody: BODY, url, timestamp };
  const signature = Signature.getSignature("POST", version, options);
  const headers = version === "v3"
    ? { "x-hubspot-signature-v3": signature, "x-hubspot-request-timestamp": String(timestamp) }
    : { "x-hubspot-signature": signature, "x-hubspot-signature-version": version };
  const verify = { preset, secrets: ["client-secret"] };
  add("@hubspot/api-client", version === "v1" ? verify : { ...verify, url: ORIGIN }, headers);
}

const keys = { publicKey: "integration_public_key", privateKey: "integration_private_key" };
const gateway = new braintree.BraintreeGateway({
  environment: braintree.Environment.Sandbox,
  merchantId: "m",
  ...keys,
});
const kind = braintree.WebhookNotification.Kind.SubscriptionWentPastDue;
const sample = new URLSearchParams(await gateway.webhookTesting.sampleNotification(kind, "my_id")).toString();
add("braintree", {
  preset: "braintree",
  secrets: [keys.privateKey],
  vars: { public_key_id: keys.publicKey },
}, { "content-type": FORM }, sample, { tampered: sample.replace("bt_payload=", "bt_payload=A") });

const token = new AccessToken("api-key", "a secret that is at least thirty-two bytes long");
token.sha256 = createHash("sha256").update(BODY).digest("base64");
add("livekit-server-sdk", {
  preset: "livekit",
  secrets: ["a secret that is at least thirty-two bytes long"],
  vars: { api_key: "api-key" },
}, { "content-type": "application/webhook+json", authorization: await token.toJwt() });

console.log(JSON.stringify(cases));
