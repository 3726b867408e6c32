#!/usr/bin/env python3
"""Stands between xdg-desktop-portal-wlr and its compositor, and mends one thing.

xdg-desktop-portal-wlr 0.7 gives a screen cast up when the compositor's wlr-screencopy offers shared memory only, as sway
does on a machine without a graphics card (emersion/xdg-desktop-portal-wlr issue 289); it would use shared memory, if only
it went on. So after each offer of shared memory this adds one of graphics memory, which is never taken up: without the
protocol for graphics memory there is none to be had. Pixels do not pass here.

    screencopy_shim.py COMPOSITOR_SOCKET SOCKET_TO_MAKE
"""

import array
import os
import socket
import struct
import sys
import threading

DISPLAY = 1
DELETE_ID = 1
BIND = 0
CAPTURES = (0, 1)
BUFFER, LINUX_DMABUF = 0, 5
MANAGER = b"zwlr_screencopy_manager_v1"
XRGB8888 = 0x34325258


class Client:
    """One connection: which objects are captures."""

    def __init__(self):
        self.registries, self.managers, self.captures = set(), set(), set()

    def request(self, sender, opcode, body):
        if sender == DISPLAY and opcode == 1:
            self.registries.add(struct.unpack_from("=I", body)[0])
        elif sender in self.registries and opcode == BIND:
            length = struct.unpack_from("=I", body, 4)[0]
            if body[8 : 8 + length - 1] == MANAGER:
                self.managers.add(struct.unpack_from("=I", body, len(body) - 4)[0])
        elif sender in self.managers and opcode in CAPTURES:
            self.captures.add(struct.unpack_from("=I", body)[0])
        return b""

    def event(self, sender, opcode, body):
        if sender == DISPLAY and opcode == DELETE_ID:
            self.captures.discard(struct.unpack_from("=I", body)[0])
        elif sender in self.captures and opcode == BUFFER:
            _, width, height, _ = struct.unpack("=IIII", body)
            return struct.pack("=IIIII", sender, 20 << 16 | LINUX_DMABUF, XRGB8888, width, height)
        return b""


def forward(source, target, look):
    pending = b""
    try:
        while True:
            data, ancillary, _, _ = source.recvmsg(65536, socket.CMSG_SPACE(28 * 4))
            if not data:
                break
            descriptors = array.array("i")
            for level, kind, content in ancillary:
                if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                    descriptors.frombytes(content[: len(content) - len(content) % 4])
            pending += data
            whole = b""
            while len(pending) >= 8:
                sender, word = struct.unpack_from("=II", pending)
                if len(pending) < word >> 16:
                    break
                message, pending = pending[: word >> 16], pending[word >> 16 :]
                whole += message + look(sender, word & 0xFFFF, message[8:])
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptors)] if descriptors else []
            if rights and not whole:
                whole, pending = pending, b""
            sent = target.sendmsg([whole], rights) if whole else 0
            target.sendall(whole[sent:])
            for descriptor in descriptors:
                os.close(descriptor)
    except OSError:
        pass
    for side in (source, target):
        try:
            side.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass


def main():
    compositor, made = sys.argv[1:]
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(made)
    listener.listen()
    while True:
        program, _ = listener.accept()
        server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        server.connect(compositor)
        client = Client()
        for one, other, look in ((program, server, client.request), (server, program, client.event)):
            threading.Thread(target=forward, args=(one, other, look), daemon=True).start()


main()
