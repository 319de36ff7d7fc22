"""A web server on this machine that misbehaves as told."""

import threading

from six.moves import BaseHTTPServer


class Page(object):
    """What the server does with one path."""

    def __init__(self, body, etag='"one"', modified=None, cuts=(),
                 ranges=True, status=None, location=None, length=True,
                 kind="application/zip", piece=10 ** 9, shift=0):
        self.body, self.etag, self.modified = body, etag, modified
        self.cuts = list(cuts)      # bytes after which connections break off
        self.ranges, self.status, self.location = ranges, status, location
        self.length, self.kind = length, kind
        self.piece = piece          # bytes that a range has at most
        self.shift = shift          # how far a range is from the one asked for


class Server(object):
    """A thread that serves `pages`, a dict path -> Page, and notes requests."""

    def __init__(self):
        self.pages, self.requests = {}, []
        outer = self

        class Handler(BaseHTTPServer.BaseHTTPRequestHandler):
            def do_GET(self):
                outer.requests.append((self.path, self.headers.get("Range")))
                outer.answer(self, outer.pages.get(self.path))

            def log_message(self, *arguments):
                pass

        self._server = BaseHTTPServer.HTTPServer(("127.0.0.1", 0), Handler)
        self.base = "http://127.0.0.1:%d" % self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": .01})
        self._thread.daemon = True
        self._thread.start()

    def close(self):
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, request, page):
        if page is None or page.status:
            request.send_error(page.status if page else 404)
            return
        if page.location:
            request.send_response(302)
            request.send_header("Location", page.location)
            request.end_headers()
            return
        start, end, wanted = 0, len(page.body), request.headers.get("Range")
        same = request.headers.get("If-Range") in (
            None, page.etag, page.modified)
        if wanted and page.ranges and same:
            start = int(wanted[len("bytes="):-1])
            if start >= len(page.body):
                request.send_error(416)
                return
            request.send_response(206)
            end = min(len(page.body), start + page.piece)
            start += page.shift
            request.send_header("Content-Range", "bytes %d-%d/%d" % (
                start, end - 1, len(page.body)))
        else:
            request.send_response(200)
        for name, value in (("ETag", page.etag), ("Content-Type", page.kind),
                            ("Last-Modified", page.modified)):
            if value:
                request.send_header(name, value)
        if page.length:
            request.send_header("Content-Length",
                                str(end - start))
        request.end_headers()
        end = page.cuts.pop(0) if page.cuts else end
        request.wfile.write(page.body[start:end])
