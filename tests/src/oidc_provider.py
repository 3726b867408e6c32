"""The `oidc-provider-mock` of PyPI behind TLS, with what it lacks (PKCE, the client secret, the state of a refusal) and
with keys that can be changed.

    oidc_provider.py PORT CERTIFICATE KEY

`POST /test/rotate`: signs with a new key and publishes it. `POST /test/forge`: signs with another key than it publishes,
under the same key id. What the tokens claim is set by the provider's own `PUT /users/SUB`.
"""

import base64
import hashlib
import sys
from urllib.parse import parse_qs, urlparse

import flask
import oidc_provider_mock
from authlib import jose
from oidc_provider_mock import _app as provider

CLIENT_SECRET = "secret-of-the-test"

challenges = {}
forged = {}


def main():
    port, certificate, key = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    app = oidc_provider_mock.app(require_nonce=True)
    app.debug = False
    signing = provider.OpenIDCode.get_jwt_config

    def config(self, grant, client=None):
        return {**signing(self, grant, client), **forged}

    provider.OpenIDCode.get_jwt_config = config

    @app.post("/test/rotate")
    def rotate():
        forged.clear()
        flask.g.oidc_provider_mock_storage.jwk = new_key()
        return "", 204

    @app.post("/test/forge")
    def forge():
        published = flask.g.oidc_provider_mock_storage.jwk.as_dict(is_private=True)
        other = new_key().as_dict(is_private=True)
        forged["key"] = {**other, "kid": published["kid"]}
        return "", 204

    @app.before_request
    def check_pkce():
        if flask.request.path != "/oauth2/token":
            return None
        form, given = flask.request.form, flask.request.authorization
        if given is None or given.password != CLIENT_SECRET:
            return {"error": "invalid_client"}, 401
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        actual = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if challenges.pop(form.get("code"), None) != actual:
            return {"error": "invalid_grant"}, 400
        return None

    @app.after_request
    def note_pkce(response):
        if flask.request.path == "/oauth2/authorize" and response.status_code == 302:
            asked, answer = flask.request.args, parse_qs(urlparse(response.location).query)
            if "code" in answer and asked.get("code_challenge_method") == "S256":
                challenges[answer["code"][0]] = asked.get("code_challenge")
            if "error" in answer and "state" not in answer:
                response.location += "&state=" + asked["state"]
        return response

    app.run("127.0.0.1", port, ssl_context=(certificate, key), threaded=True)


def new_key():
    return jose.RSAKey.generate_key(is_private=True)


if __name__ == "__main__":
    main()
