"""A host boots on the release that it had: the gate's own program, as conf/systemd runs it, asks the real shiftd or reads the signed file."""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

from scene import Scene, processes  # noqa: E402
import shell  # noqa: E402

GATE = pathlib.Path(__file__).resolve().parents[2] / "conf" / "hosts" / "shiftd-boot-gate"


class Gate:
    """The gate of one host, with a file of its own."""

    def __init__(self, scene, host):
        self.scene, self.host = scene, host
        self.file = scene.daemon.folder / f"gate-{host.name}"
        self.signed = scene.daemon.folder / "web.desired"
        self.signers = scene.daemon.folder / "signers"

    def write(self, **other):
        self.file.write_text(shell.gate(self.scene.daemon, self.host, **{"signed": self.signed, "signers": self.signers, **other}))

    def ask(self, **other) -> tuple:
        """Its exit code, and what it said."""
        self.write(**other)
        code, _, error = processes.run([GATE, self.file], 60)
        return code, error

    def sign(self, key: pathlib.Path):
        """As conf/systemd/shiftd-desired@.service does."""
        code, text, error = self.scene.shiftctl("desired", "web")
        assert code == 0, error
        self.signed.write_text(text)
        self.signed.with_suffix(".desired.sig").unlink(missing_ok=True)
        code, _, error = processes.run(["ssh-keygen", "-q", "-Y", "sign", "-f", key, "-n", "shiftd-desired", self.signed], 20)
        assert code == 0, error


class BootGate(unittest.TestCase):
    def test_a_host_that_was_off_starts_only_when_it_has_been_brought_up_to_date(self):
        strategy = "  max_load: 2\n  upgrade_limit: 5s\n"
        with Scene(hosts=7, strategy=strategy, sections="stragglers: {ask_every: 1s}\n") as scene:
            host = scene.hosts[2]
            gate = Gate(scene, host)
            self.assertEqual(gate.ask()[0], 0, "shiftd has never brought a release")
            host.power_off()
            rollout = scene.start("2")
            end = scene.end_of(rollout)

            code, said = gate.ask()
            self.assertEqual(code, 1, said)
            self.assertIn("it starts when shiftd has brought it up to date", said)
            # It boots: sshd comes up, and its service does not. shiftd brings the release, and starts it.
            scene.world.fleet.start_sshd(host)
            came_back = scene.next_rollout(rollout)
            self.assertEqual(scene.end_of(came_back)["outcome"], "succeeded")
            self.assertEqual(gate.ask()[0], 0)
            self.assertEqual(scene.complaints("2"), [])
            self.assertEqual([name for name in scene.restarts(host)], ["1", "2"], "never again on release 1")
            self.assertEqual([request for request in scene.world.requests() if request.failure and 1000 * request.at > end["at"]], [])

            # While a rollout is under way, a host that it has not reached yet may start with what it has.
            rollout = scene.start("3")
            self.assertEqual(gate.ask()[0], 0)
            scene.command(rollout, "abort")
            scene.end_of(rollout)
            print("the gate held web3 on release 1, and let it start on release 2")

    def test_without_shiftd_it_reads_what_shiftd_has_signed(self):
        with Scene(hosts=3) as scene:
            host = scene.hosts[0]
            gate = Gate(scene, host)
            key = scene.daemon.folder / "desired_key"
            self.assertEqual(processes.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], 20)[0], 0)
            public = key.with_suffix(".pub").read_text()
            gate.signers.write_text(f'shiftd namespaces="shiftd-desired" {public}')
            scene.end_of(scene.start("2"))
            gate.sign(key)
            scene.daemon.stop()

            code, said = gate.ask()
            self.assertEqual(code, 0, said)
            self.assertIn("shiftd does not answer", said)
            code, said = gate.ask(path=scene.world.folder)
            self.assertEqual(code, 2, said)  # nothing to compare
            code, said = gate.ask(max_age=-1)
            self.assertEqual(code, 2, said)
            self.assertIn("seconds ago", said)
            self.assertEqual(gate.ask(max_age=-1, otherwise="start")[0], 0)
            self.assertEqual(gate.ask(version="echo something-else")[0], 1)

            genuine = gate.signed.read_text()
            gate.signed.write_text(genuine.replace(host.current(), "0" * 64))
            code, said = gate.ask()
            self.assertEqual(code, 2, said)
            self.assertIn("is not signed by shiftd", said)
            print("without shiftd: the signed file is believed, an old or changed one is not")

    def test_the_hosts_token_may_ask_for_nothing_else(self):
        with Scene(hosts=3) as scene:
            gate = Gate(scene, scene.hosts[0])
            code, said = gate.ask(token_file="/dev/null")
            self.assertEqual(code, 2)
            self.assertIn("401", said)
            token = (scene.daemon.folder / "desired-token").read_text().strip()
            for path, status in (("services/web/desired", 200), ("rollouts", 403), ("services/web/pools", 403)):
                url = f"http://127.0.0.1:{scene.daemon.port}/api/v1/{path}"
                _, answered, _ = processes.run(["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token}", url], 20)
                self.assertEqual(answered, str(status), path)


if __name__ == "__main__":
    unittest.main()
