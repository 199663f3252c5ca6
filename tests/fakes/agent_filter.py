#!/usr/bin/env python3
# A stand-in of keyholder's ssh-agent-proxy, which is not in Debian: it stands in front of an ssh-agent and lets through the
# list of keys and the making of signatures. Everything else is answered with SSH_AGENT_FAILURE, as keyholder does, and its
# number is written down.
#   agent_filter.py LISTEN AGENT LOG
import os
import socket
import struct
import sys
import threading

REQUEST_IDENTITIES, SIGN_REQUEST = 11, 13
FAILURE = struct.pack(">IB", 1, 5)


def receive(connection):
    head = b""
    while len(head) < 4:
        piece = connection.recv(4 - len(head))
        if not piece:
            return None
        head += piece
    body = b""
    while len(body) < struct.unpack(">I", head)[0]:
        piece = connection.recv(65536)
        if not piece:
            return None
        body += piece
    return head + body


def serve(connection, agent_path, log):
    while (message := receive(connection)) is not None:
        with open(log, "a") as lines:
            lines.write(f"{message[4]}\n")
        if message[4] not in (REQUEST_IDENTITIES, SIGN_REQUEST):
            connection.sendall(FAILURE)
            continue
        with socket.socket(socket.AF_UNIX) as agent:
            agent.connect(agent_path)
            agent.sendall(message)
            connection.sendall(receive(agent))


listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1] + ".new")
listener.listen(16)
os.rename(sys.argv[1] + ".new", sys.argv[1])
while True:
    accepted, _ = listener.accept()
    threading.Thread(target=serve, args=(accepted, sys.argv[2], sys.argv[3]), daemon=True).start()
