"""Requests as bytes, and answers as far as they are judged. No HTTP library: those send nothing that is wrong."""

import re
import socket

# Of an answer, in bytes: no answer to what is sent here is larger, but for blobs, which are some MiB.
MOST = 64 << 20


class Hang(Exception):
    pass


class Sent:
    """A request. One that is not whole is followed by the end of the stream, so that nobody waits for the rest."""

    def __init__(self, data, method, is_whole):
        self.bytes, self.method, self.is_whole = data, method, is_whole


class Answer:
    def __init__(self, status, headers, body, is_odd=None):
        self.status, self.headers, self.body, self.is_odd = status, headers, body, is_odd

    def header(self, name):
        found = re.search(rb"(?im)^" + name.encode() + rb":[ \t]*(.*?)\r?$", self.headers)
        return found.group(1).decode("latin-1") if found else None


class Wire:
    """One connection at a time, used again for as long as the server keeps it open."""

    def __init__(self, address, limit):
        self.address, self.limit, self.socket = address, limit, None

    def ask(self, sent):
        is_used = self.socket is not None
        answer = self.once(sent)
        if answer.status == 0 and is_used:
            # The server closed the connection before it heard this one.
            answer = self.once(sent)
        return answer

    def once(self, sent):
        if self.socket is None:
            self.socket = socket.create_connection(self.address, timeout=self.limit)
        try:
            try:
                self.socket.sendall(sent.bytes)
                if not sent.is_whole:
                    self.socket.shutdown(socket.SHUT_WR)
            except (BrokenPipeError, ConnectionResetError):
                # It may have answered before it closed.
                pass
            answer, keep = self.read(sent.method)
        except TimeoutError as error:
            self.close()
            raise Hang from error
        except OSError:
            answer, keep = Answer(0, b"", b""), False
        if not keep or not sent.is_whole:
            self.close()
        return answer

    def read(self, method):
        """The final answer, and whether the connection can be used again."""
        buffer = b""
        while True:
            while b"\r\n\r\n" not in buffer:
                more = self.socket.recv(65536)
                if not more:
                    # Closed without a word: 0, which is what HTTP's own parser may do to nonsense.
                    return Answer(0, b"", buffer, "half an answer" if buffer else None), False
                buffer += more
            head, _, buffer = buffer.partition(b"\r\n\r\n")
            status = re.match(rb"HTTP/1\.[01] (\d{3})", head)
            if not status:
                return Answer(0, head, b"", "no status line"), False
            status = int(status.group(1))
            if status >= 200:
                break
        length = re.search(rb"(?im)^content-length: *(\d+)", head)
        is_chunked = re.search(rb"(?im)^transfer-encoding: *chunked", head)
        keep = not re.search(rb"(?im)^connection: *close", head)
        if method == "HEAD" or status in (204, 304):
            return Answer(status, head, b""), keep and not buffer
        if is_chunked or not length:
            keep = False
        want = int(length.group(1)) if length and not is_chunked else MOST
        pieces, got = [buffer], len(buffer)
        while got < want:
            if is_chunked and pieces[-1].endswith(b"0\r\n\r\n"):
                break
            more = self.socket.recv(1 << 20)
            if not more:
                break
            pieces.append(more)
            got += len(more)
        # More than one answer to what looked like one request, where a body was no body: the rest is not ours.
        return Answer(status, head, b"".join(pieces)[:want]), keep and got == want

    def close(self):
        if self.socket is not None:
            self.socket.close()
            self.socket = None
