"""The stand-in's instrumentation HTTP, as PyBal 1.15.9 answers it: GET only, JSON only to the exact Accept, no password."""

import asyncio
import email.utils
import json
import time

STARTED = time.time()
NOT_FOUND = "The desired url was not found"


async def serve(address: str, port: int, pools: dict):
    async def converse(reader, writer):
        try:
            head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 10)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, asyncio.TimeoutError, OSError):
            return writer.close()
        lines = head.decode("latin-1").split("\r\n")
        accepts = [line.partition(":")[2].strip() for line in lines[1:] if line.lower().startswith("accept:")]
        status, kind, body = answer(lines[0].split(" "), "application/json" in accepts, pools)
        body = body.encode("utf-8")
        writer.write(
            f"HTTP/1.1 {status}\r\nServer: TwistedWeb/14.0.2\r\nDate: {email.utils.formatdate(usegmt=True)}\r\n"
            f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n".encode("ascii") + body
        )
        writer.close()

    await asyncio.start_server(converse, address, port)


def answer(request: list, as_json: bool, pools: dict) -> tuple:
    """Status line, content type and body."""
    if request[0] != "GET":
        return "405 Method Not Allowed", "text/html", "Method Not Allowed"
    words = request[1].strip("/").split("/")
    if words == ["metrics"]:
        return "200 OK", "text/plain; version=0.0.4; charset=utf-8", metrics(pools)
    found = page(words, pools)
    status = "404 Not Found" if found is None else "200 OK"
    value, text = found or ({"error": NOT_FOUND}, NOT_FOUND)
    return (status, "application/json", json.dumps(value)) if as_json else (status, "text/plain", text)


def page(words: list, pools: dict):
    """What is said in JSON, and in words; None: there is no such page."""
    if words == ["alerts"]:
        return alerts(pools)
    if words == ["pools"]:
        return list(pools), "\n".join(pools) + "\n"
    # Trap: a pool that does not exist and a server that is inactive are answered alike.
    if words[0] != "pools" or len(words) > 3 or words[1] not in pools:
        return None
    servers = pools[words[1]].servers
    if len(words) == 2:
        return {host: server.state() for host, server in servers.items()}, "".join(f"{host}:\t{server.text()}\n" for host, server in servers.items())
    if words[2] not in servers:
        return None
    return servers[words[2]].state(), servers[words[2]].text() + "\n"


def alerts(pools: dict):
    # Trap: only servers that are held, and the pool's size, count. An empty pool and one that learns nothing are healthy.
    critical, warnings = [], ""
    for pool in pools.values():
        if pool.held:
            critical.append(f"{pool.name}: Servers {', '.join(server.host for server in pool.held)} are marked down but pooled")
        elif len(pool.servers) < len(pool.servers) * pool.threshold + 1:
            warnings += f"Pool {pool.name} is too small to allow depooling. "
    status = "critical" if critical else "warning" if warnings else "ok"
    message = "; ".join(critical) or warnings or "All pools are healthy"
    return {"status": status, "msg": message}, f"{status.upper()} - {message}"


def metrics(pools: dict) -> str:
    lines = []
    for name in ("servers", "servers_enabled", "servers_up", "servers_pooled", "can_depool", "pooled_down_servers", "depool_threshold"):
        lines.append(f"# TYPE pybal_service_{name} gauge")
        lines += [f'pybal_service_{name}{{service="{pool.name}"}} {float(pool.gauges[name])}' for pool in pools.values() if name in pool.gauges]
    lines.append("# TYPE pybal_service_could_not_depool_total counter")
    lines += [f'pybal_service_could_not_depool_total{{service="{pool.name}"}} {float(pool.could_not_depool)}' for pool in pools.values()]
    lines.append("# TYPE pybal_monitor_status gauge")
    for pool in pools.values():
        for (host, monitor), status in pool.monitor_status.items():
            lines.append(f'pybal_monitor_status{{host="{host}",monitor="{monitor}",service="{pool.name}"}} {float(status)}')
    for kind in ("up", "down"):
        lines.append(f"# TYPE pybal_monitor_{kind}_results_total counter")
        for pool in pools.values():
            for (what, host, monitor), count in pool.results.items():
                if what == kind:
                    lines.append(f'pybal_monitor_{kind}_results_total{{host="{host}",monitor="{monitor}",service="{pool.name}"}} {float(count)}')
    lines += ["# TYPE process_start_time_seconds gauge", f"process_start_time_seconds {STARTED}"]
    return "\n".join(lines) + "\n"
