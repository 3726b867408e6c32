"""Protects RTP and RTCP as a sender of SRTP would: libsrtp (pylibsrtp), and for the suites that its binding has no name for
(RFC 6188) the steps of RFC 3711 upon the `cryptography` package. Standard input and output: packets behind their length
(16 bits). Arguments: suite, master key and salt in hex."""
import hashlib
import hmac
import struct
import sys

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes


def packets():
    while head := sys.stdin.buffer.read(2):
        yield sys.stdin.buffer.read(struct.unpack("!H", head)[0])


def libsrtp(profile, master):
    from pylibsrtp import Policy, Session

    policy = Policy(key=master, ssrc_type=Policy.SSRC_ANY_OUTBOUND, srtp_profile=profile)
    session = Session(policy)
    return lambda packet: session.protect_rtcp(packet) if is_rtcp(packet) else session.protect(packet)


def is_rtcp(packet):
    return 192 <= packet[1] <= 223


def stream(key, iv, data):
    return Cipher(algorithms.AES(key), modes.CTR(iv.to_bytes(16, "big"))).encryptor().update(data)


def aes_256_cm(tag, master):
    key, salt = master[:32], int.from_bytes(master[32:], "big")
    derive = lambda label, length: stream(key, (salt ^ (label << 48)) << 16, bytes(length))
    cipher, mac, session_salt = derive(0, 32), derive(1, 20), int.from_bytes(derive(2, 14), "big")
    control, control_mac, control_salt = derive(3, 32), derive(4, 20), int.from_bytes(derive(5, 14), "big")
    counts = {}

    def protect_rtcp(packet):
        ssrc, index = struct.unpack("!I", packet[4:8])[0], counts.get("rtcp", 0)
        counts["rtcp"] = index + 1
        iv = (control_salt << 16) ^ (ssrc << 64) ^ (index << 16)
        protected = packet[:8] + stream(control, iv, packet[8:]) + struct.pack("!I", index | 1 << 31)
        return protected + hmac.new(control_mac, protected, hashlib.sha1).digest()[:10]

    def protect(packet):
        if is_rtcp(packet):
            return protect_rtcp(packet)
        sequence, ssrc = struct.unpack("!H", packet[2:4])[0], struct.unpack("!I", packet[8:12])[0]
        rollovers, last = counts.get(ssrc, (0, sequence))
        rollovers += sequence < last
        counts[ssrc] = (rollovers, sequence)
        index = (rollovers << 16) | sequence
        iv = (session_salt << 16) ^ (ssrc << 64) ^ (index << 16)
        protected = packet[:12] + stream(cipher, iv, packet[12:])
        signed = hmac.new(mac, protected + struct.pack("!I", rollovers), hashlib.sha1)
        return protected + signed.digest()[:tag]

    return protect


def sender(suite, master):
    if suite.startswith("AES_256_CM"):
        return aes_256_cm(10 if suite.endswith("80") else 4, master)
    from pylibsrtp import Policy

    return libsrtp(
        {
            "AES_CM_128_HMAC_SHA1_80": Policy.SRTP_PROFILE_AES128_CM_SHA1_80,
            "AES_CM_128_HMAC_SHA1_32": Policy.SRTP_PROFILE_AES128_CM_SHA1_32,
            "AEAD_AES_128_GCM": Policy.SRTP_PROFILE_AEAD_AES_128_GCM,
            "AEAD_AES_256_GCM": Policy.SRTP_PROFILE_AEAD_AES_256_GCM,
        }[suite],
        master,
    )


protect = sender(sys.argv[1], bytes.fromhex(sys.argv[2]))
for packet in packets():
    protected = protect(packet)
    sys.stdout.buffer.write(struct.pack("!H", len(protected)) + protected)
