"""Prints requests as providers send them, signed by the packages that they publish: a JSON list on stdout."""
import base64, datetime, hashlib, json, time, urllib.parse

ORIGIN = "https://hooks.test"
BODY = json.dumps({"id": "evt_1", "type": "invoice.paid", "text": "Grüße, 世界 \u2028"}, ensure_ascii=False)
WHSEC = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
now = datetime.datetime.now(datetime.timezone.utc)
unix = int(now.timestamp())
cases = []


def case(package, verify, headers, body=BODY, tampered_body=None, tampered_headers=None):
    """`tampered_*` take the place of what was signed; by default the body's last byte is another one."""
    body = body.encode() if isinstance(body, str) else body
    if tampered_body is None:
        tampered_body = body if tampered_headers else body[:-1] + b"?"
    encode = lambda data: base64.b64encode(data).decode()
    text = lambda value: value.decode() if isinstance(value, bytes) else str(value)
    cases.append({
        "package": package,
        "verify": verify,
        "path": path(package, verify["preset"]),
        "headers": {k: text(v) for k, v in headers.items()},
        "body": encode(body),
        "tampered": {
            "headers": {k: text(v) for k, v in (tampered_headers or headers).items()},
            "body": encode(tampered_body),
        },
    })


def path(package, preset):
    return f"/python/{package}/{preset}"


def standard(package, preset, prefix):
    webhook = __import__(f"{package}.webhooks", fromlist=["Webhook"]).Webhook(WHSEC)
    signature = webhook.sign("msg_1", now, BODY)
    case(package, {"preset": preset, "secrets": [WHSEC]},
         {f"{prefix}-id": "msg_1", f"{prefix}-timestamp": unix, f"{prefix}-signature": signature})


def with_stripe():
    import stripe
    signature = stripe.WebhookSignature._compute_signature(f"{unix}.{BODY}", WHSEC)
    case("stripe", {"preset": "stripe", "secrets": [WHSEC]}, {"stripe-signature": f"t={unix},v1={signature}"})


def slack():
    from slack_sdk.signature import SignatureVerifier
    signature = SignatureVerifier("8f742231b10e").generate_signature(timestamp=str(unix), body=BODY)
    case("slack_sdk", {"preset": "slack", "secrets": ["8f742231b10e"]},
         {"x-slack-request-timestamp": unix, "x-slack-signature": signature})


def with_twilio():
    from twilio.request_validator import RequestValidator
    form = {"From": "+14158675309", "Body": "Grüße & mehr", "Digits": "1234"}
    signature = RequestValidator("12345").compute_signature(ORIGIN + path("twilio", "twilio"), form)
    case("twilio", {"preset": "twilio", "secrets": ["12345"], "url": ORIGIN},
         {"content-type": "application/x-www-form-urlencoded", "x-twilio-signature": signature},
         urllib.parse.urlencode(form))


def with_braintree():
    import braintree
    keys = {"public_key": "integration_public_key", "private_key": "integration_private_key"}
    gateway = braintree.BraintreeGateway(braintree.Configuration(
        environment=braintree.Environment.Development, merchant_id="m", **keys))
    sample = gateway.webhook_testing.sample_notification(
        braintree.WebhookNotification.Kind.SubscriptionWentPastDue, "my_id")
    text = lambda value: value.decode() if isinstance(value, bytes) else value
    form = urllib.parse.urlencode({name: text(value) for name, value in sample.items()})
    case("braintree",
         {"preset": "braintree", "secrets": [keys["private_key"]], "vars": {"public_key_id": keys["public_key"]}},
         {"content-type": "application/x-www-form-urlencoded"}, form,
         tampered_body=form.replace("bt_payload=", "bt_payload=A").encode())


def adyen():
    from Adyen.util import generate_notification_sig, generate_payload_sig
    key = "44782DEF547AAA06C910C43932B1EB0C71FC68D9D0C057550C48EC2ACF6BA056"
    case("Adyen", {"preset": "adyen-banking", "secrets": [key]},
         {"hmacsignature": generate_payload_sig(BODY.encode(), key)})
    item = {"pspReference": "7914073381342284", "originalReference": "", "merchantAccountCode": "TestMerchant",
            "merchantReference": "TestPayment-1407325143704", "amount": {"value": 1130, "currency": "EUR"},
            "eventCode": "AUTHORISATION", "success": "true"}
    item["additionalData"] = {"hmacSignature": generate_notification_sig(item, key).decode()}
    body = json.dumps({"live": "false", "notificationItems": [{"NotificationRequestItem": item}]})
    case("Adyen", {"preset": "adyen-payments", "secrets": [key]}, {"content-type": "application/json"}, body,
         tampered_body=body.replace("1130", "1131").encode())


def jwt():
    import jwt
    from cryptography.hazmat.primitives.asymmetric import rsa
    digest, secret = hashlib.sha256(BODY.encode()), "a secret that is at least thirty-two bytes long"
    token = lambda claims: jwt.encode(claims, secret, algorithm="HS256")
    case("PyJWT", {"preset": "netlify", "secrets": [secret]},
         {"x-webhook-signature": token({"iss": "netlify", "sha256": digest.hexdigest()})})
    case("PyJWT", {"preset": "vonage-jwt", "secrets": [secret]},
         {"authorization": "Bearer " + token({"iat": unix, "jti": "1", "payload_hash": digest.hexdigest()})})
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    jwk = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(key.public_key())) | {"kid": "k1", "use": "sig", "alg": "RS256"}
    claims = {"iss": "https://accounts.google.com", "aud": ORIGIN, "email": "push@test.iam", "email_verified": True,
              "sub": "1", "iat": unix, "exp": unix + 600}
    bearer = lambda claims: {
        "authorization": "Bearer " + jwt.encode(claims, key, algorithm="RS256", headers={"kid": "k1"})}
    case("PyJWT", {"preset": "google-pubsub", "jwks": json.dumps({"keys": [jwk]}),
                   "vars": {"audience": ORIGIN, "email": "push@test.iam"}},
         bearer(claims), tampered_headers=bearer(claims | {"aud": "https://other.test"}))


def message_signatures():
    import requests
    from cryptography.hazmat.primitives.asymmetric import ed25519
    from cryptography.hazmat.primitives import serialization
    import http_message_signatures as hms
    private = ed25519.Ed25519PrivateKey.generate()
    pem = lambda key: key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo).decode()
    secret = base64.b64encode(b"a shared secret of thirty-two by").decode()
    for preset, algorithm, key, verify in [
        ("rfc9421-hmac-sha256", hms.algorithms.HMAC_SHA256, base64.b64decode(secret), {"secrets": [secret]}),
        ("rfc9421-ed25519", hms.algorithms.ED25519, private, {"public_keys": [pem(private.public_key())]}),
    ]:
        where = path("http-message-signatures", preset)
        request = requests.Request("POST", ORIGIN + where, data=BODY.encode(),
                                   headers={"content-type": "application/json"}).prepare()
        sign(hms, algorithm, key, request)
        headers = {name: request.headers[name]
                   for name in ("content-type", "content-digest", "signature-input", "signature")}
        case("http-message-signatures", {"preset": preset, **verify}, {"host": "hooks.test", **headers})


def sign(hms, algorithm, key, request):
    class Keys(hms.HTTPSignatureKeyResolver):
        def resolve_private_key(self, key_id):
            return key

        def resolve_public_key(self, key_id):
            return key

    signer = hms.HTTPMessageSigner(signature_algorithm=algorithm, key_resolver=Keys())
    signer.sign(request, key_id="k1", created=now, label="sig1", body=BODY.encode(),
                covered_component_ids=("@method", "@authority", "@path", "content-type", "content-digest"))


standard("standardwebhooks", "standard-webhooks", "webhook")
standard("svix", "svix", "svix")
for sender in (with_stripe, slack, with_twilio, with_braintree, adyen, jwt, message_signatures):
    sender()
print(json.dumps(cases))
