"""The stand-in of PyBal does what was observed of PyBal 1.15.9: each trap of docs/pybal.md, against a real etcd."""

import http.server
import json
import pathlib
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "conf" / "playground"))

import processes  # noqa: E402
from etcd import Etcd  # noqa: E402
from pybal import Pybal  # noqa: E402

POOL = "web_80"
BACKENDS = ("be1", "be2", "be3", "be4")


class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(self.server.status)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_):
        pass


class Backend:
    def __init__(self):
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.status = 200
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server.server_port}"

    def answer(self, status: int):
        self.server.status = status


class LoadedEmpty(Pybal):
    def ready(self) -> bool:
        """It has tried to load its pool, and has nothing."""
        return "Error:" in (self.folder / f"{self.name}.log").read_text() and self.servers() == {}


class StandIn(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="shiftd-pybal-")
        cls.etcd = Etcd(pathlib.Path(cls.folder.name))
        cls.etcd.start()
        cls.backends = {name: Backend() for name in BACKENDS}

    @classmethod
    def tearDownClass(cls):
        processes.stop(cls.etcd.process)
        cls.folder.cleanup()

    def setUp(self):
        for name, backend in self.backends.items():
            backend.answer(200)
            self.etcd.set(f"dc/web/nginx/{name}", "yes", 10)

    def tearDown(self):
        self.etcd.delete("dc/web/nginx")

    def start(self, interval=0.1, monitors=("ProxyFetch",), name="lvs1", kind=Pybal, **options) -> Pybal:
        pybal = kind(pathlib.Path(self.folder.name), name, self.etcd, "dc/web/nginx", POOL)
        pybal.start({name: backend.address for name, backend in self.backends.items()}, interval=interval, monitors=monitors, **options)
        self.addCleanup(pybal.stop)
        return pybal

    def write(self, name: str, value):
        self.etcd.put(f"dc/web/nginx/{name}", value if isinstance(value, str) else json.dumps(value))

    def log(self, name: str) -> str:
        return (pathlib.Path(self.folder.name) / f"{name}.log").read_text()

    def until(self, question, what: str):
        return processes.until(10, question, what)

    def checked(self, pybal: Pybal):
        """Once every monitor of every server has spoken."""
        self.until(lambda: pybal.ask("/metrics")[1].count("pybal_monitor_status{") >= len(BACKENDS), "the first round of checks")
        return pybal

    def test_answers_in_json_only_to_the_exact_accept_header(self):
        pybal = self.start()
        self.assertEqual(json.loads(pybal.ask(f"/pools/{POOL}/be1")[1]), {"pooled": True, "weight": 10, "up": True, "enabled": True})
        self.assertEqual(pybal.ask(f"/pools/{POOL}/be1", "application/json, */*"), (200, "enabled/up/pooled\n"))
        self.assertEqual(json.loads(pybal.ask("/pools")[1]), [POOL])
        self.assertEqual(pybal.ask("/pools", "text/plain"), (200, f"{POOL}\n"))
        self.assertEqual(pybal.ask("/alerts", "*/*"), (200, "OK - All pools are healthy"))
        self.assertEqual(pybal.ask("/pools", method="POST")[0], 405)
        self.assertEqual(pybal.ask("/")[0], 404)

    def test_answers_404_alike_for_an_inactive_server_and_a_wrong_pool(self):
        self.etcd.set("dc/web/nginx/be4", "inactive", 10)
        pybal = self.start()
        self.assertEqual(pybal.ask(f"/pools/{POOL}/be4"), (404, '{"error": "The desired url was not found"}'))
        self.assertEqual(pybal.ask("/pools/web_81"), pybal.ask(f"/pools/{POOL}/be4"))

    def test_shows_weight_0_and_gives_the_kernel_1(self):
        pybal = self.checked(self.start())
        self.etcd.set("dc/web/nginx/be1", "yes", 0)
        self.until(lambda: pybal.servers()["be1"]["weight"] == 0, "weight 0")
        self.assertEqual(pybal.servers()["be1"]["pooled"], True)
        self.assertIn(f"-e {POOL} be1", pybal.commands())

    def test_ignores_a_weight_that_is_no_integer(self):
        pybal = self.checked(self.start())
        for value in ('"7"', "7.5", "null", "true"):
            self.write("be1", f'{{"weight": {value}, "pooled": "no"}}')
            self.until(lambda: not pybal.servers()["be1"]["enabled"], "be1 disabled")
            self.assertEqual(pybal.servers()["be1"]["weight"], 10, value)
            self.etcd.set("dc/web/nginx/be1", "yes", 10)
            self.until(lambda: pybal.servers()["be1"]["enabled"], "be1 enabled")

    def test_pools_a_new_server_before_any_check(self):
        self.etcd.set("dc/web/nginx/be4", "inactive", 10)
        self.backends["be4"].answer(503)
        pybal = self.start(interval=1)
        self.etcd.set("dc/web/nginx/be4", "yes", 10)
        self.until(lambda: "be4" in pybal.servers(), "be4")
        self.assertEqual(pybal.servers()["be4"], {"pooled": True, "weight": 10, "up": True, "enabled": True})
        self.assertIn(f"-a {POOL} be4 -w 10", pybal.commands())
        self.until(lambda: not pybal.servers()["be4"]["pooled"], "be4 found ill")

    def test_pools_a_disabled_server_by_its_live_checks(self):
        self.etcd.set("dc/web/nginx/be4", "no", 10)
        self.backends["be4"].answer(503)
        pybal = self.checked(self.start())
        self.etcd.set("dc/web/nginx/be4", "yes", 10)
        self.until(lambda: pybal.servers()["be4"]["enabled"], "be4 enabled")
        self.assertEqual(pybal.ask(f"/pools/{POOL}/be4", "*/*")[1], "enabled/down/not pooled\n")
        self.backends["be4"].answer(200)
        self.until(lambda: pybal.servers()["be4"]["pooled"], "be4 in")

    def test_a_write_in_the_first_round_of_checks_empties_the_pool(self):
        pybal = self.start(interval=1)
        self.etcd.set("dc/web/nginx/be1", "yes", 11)
        self.until(lambda: not any(server["pooled"] for server in pybal.servers().values()), "everybody out")
        self.assertEqual(json.loads(pybal.ask("/alerts")[1])["status"], "ok")
        self.until(lambda: all(server["pooled"] for server in pybal.servers().values()), "everybody in again")

    def test_holds_servers_at_the_threshold_and_drops_them_with_any_write(self):
        pybal = self.checked(self.start())
        for name in ("be2", "be3", "be4"):
            self.backends[name].answer(503)
        self.until(lambda: not any(pybal.servers()[name]["up"] for name in ("be2", "be3", "be4")), "three down")
        held = [name for name, server in pybal.servers().items() if server["pooled"] and not server["up"]]
        self.assertEqual(len(held), 1)
        self.assertIn("are marked down but pooled", pybal.ask("/alerts")[1])
        metrics = pybal.ask("/metrics")[1]
        self.assertIn(f'pybal_service_pooled_down_servers{{service="{POOL}"}} 1.0', metrics)
        self.assertIn(f'pybal_service_can_depool{{service="{POOL}"}} 0.0', metrics)
        self.etcd.set("dc/web/nginx/be1", "yes", 9)
        self.until(lambda: pybal.servers()["be1"]["weight"] == 9, "the write")
        self.assertEqual([name for name, server in pybal.servers().items() if server["pooled"]], ["be1"])
        self.assertIn("are marked down but pooled", pybal.ask("/alerts")[1])

    def test_never_refuses_no_and_calls_an_empty_pool_healthy(self):
        pybal = self.checked(self.start())
        for name in BACKENDS:
            self.etcd.set(f"dc/web/nginx/{name}", "no", 10)
        self.until(lambda: not any(server["pooled"] for server in pybal.servers().values()), "everybody out")
        self.assertEqual(pybal.ask("/alerts", "*/*")[1], "OK - All pools are healthy")

    def test_takes_a_tenth_of_a_second_for_each_change(self):
        pybal = self.checked(self.start())
        began = time.monotonic()
        for weight in range(11, 21):
            self.etcd.set("dc/web/nginx/be1", "yes", weight)
        self.until(lambda: pybal.servers()["be1"]["weight"] == 20, "the last of ten writes")
        self.assertGreater(time.monotonic() - began, 0.9)

    def test_a_reset_connection_ends_its_listening_for_good(self):
        pybal = self.checked(self.start())
        beside = self.start(name="lvs2")
        pybal.end_watch(cleanly=False)
        self.until(lambda: "the watch is dead" in self.log("lvs1"), "its death")
        self.etcd.set("dc/web/nginx/be1", "no", 10)
        self.until(lambda: not beside.servers()["be1"]["enabled"], "the write, at its neighbour")
        self.assertEqual(pybal.servers()["be1"]["enabled"], True)
        self.assertEqual(pybal.ask("/alerts", "*/*")[1], "OK - All pools are healthy")

    def test_a_closed_connection_does_not(self):
        pybal = self.checked(self.start())
        pybal.end_watch(cleanly=True)
        self.etcd.set("dc/web/nginx/be1", "no", 10)
        self.until(lambda: not pybal.servers()["be1"]["enabled"], "the write")

    def test_an_outdated_index_ends_its_listening_for_good(self):
        pybal = self.checked(self.start())
        self.etcd.make_others_busy(1100)
        pybal.end_watch(cleanly=True)
        refused = lambda: self.log("lvs1").count("outdated and cleared")  # noqa: E731
        self.until(refused, "the refusal of its question")
        self.etcd.set("dc/web/nginx/be1", "no", 10)
        before = refused()
        self.until(lambda: refused() > before + 2, "the same question again and again")
        self.assertEqual(pybal.servers()["be1"]["enabled"], True)

    def test_one_malformed_key_loses_one_event_later_and_everything_at_its_start(self):
        pybal = self.checked(self.start())
        self.write("be1", "{")
        self.etcd.set("dc/web/nginx/be2", "no", 10)
        self.until(lambda: not pybal.servers()["be2"]["enabled"], "the next event")
        self.assertEqual(pybal.servers()["be1"]["enabled"], True)
        started = self.start(name="lvs2", kind=LoadedEmpty)
        self.etcd.set("dc/web/nginx/be3", "yes", 10)
        self.until(lambda: list(started.servers()) == ["be3"], "the one that was written")
        self.assertEqual(started.ask("/alerts")[0], 200)

    def test_keeps_what_a_key_does_not_say_and_ignores_what_it_does_not_know(self):
        pybal = self.checked(self.start())
        self.write("be1", {"weight": 7, "note": "x"})
        self.until(lambda: pybal.servers()["be1"]["weight"] == 7, "the weight")
        self.assertEqual(pybal.servers()["be1"]["enabled"], True)


if __name__ == "__main__":
    unittest.main()
