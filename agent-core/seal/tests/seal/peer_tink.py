"""peer_tink.py (decrypt|encrypt) KEYSET.json ASSOCIATED_DATA: standard input to standard output, by Google's Tink."""

import io
import sys

from tink import json_proto_keyset_format, secret_key_access, streaming_aead

mode, keyset, associated_data = sys.argv[1:]
streaming_aead.register()
with open(keyset, encoding="utf-8") as file:
    handle = json_proto_keyset_format.parse(file.read(), secret_key_access.TOKEN)
primitive = handle.primitive(streaming_aead.StreamingAead)
if mode == "decrypt":
    with primitive.new_decrypting_stream(io.BytesIO(sys.stdin.buffer.read()), associated_data.encode()) as stream:
        sys.stdout.buffer.write(stream.read())
else:
    sealed = io.BytesIO()
    sealed.close = lambda: None  # the stream closes it, and its bytes are wanted after that
    with primitive.new_encrypting_stream(sealed, associated_data.encode()) as stream:
        stream.write(sys.stdin.buffer.read())
    sys.stdout.buffer.write(sealed.getvalue())
