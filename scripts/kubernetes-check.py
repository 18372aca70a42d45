#!/usr/bin/env python3
"""Holds deploy/kubernetes/ to the API's schemas, to its own references, and to what our programs take. Without a cluster.

usage: kubernetes-check.py FOLDER-OF-OUR-PROGRAMS

Each overlay is rendered by kustomize. The schemas are those of two versions of Kubernetes; what they cannot say is looked
at here: that every name, port, label and path that something refers to exists, that every variable is a setting of the
program with a value that it takes, that the network policies let through what the settings need and the services are given
time to end. The variables of deploy/swarm/stack.yml and docker-compose.yml are looked at as well.
"""

import contextlib
import io
import os
import pathlib
import re
import subprocess
import sys
import tempfile

import kubernetes_validate
import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDER = ROOT / "deploy/kubernetes"
RENDERED = ("overlays/local", "overlays/production", "loadtest")
# The oldest that is meant to work, and the newest that there are schemas of.
VERSIONS = ("1.34", "1.37")
# Custom resources, of which no schema is at hand.
UNCHECKED = {"HTTPRoute", "PodMonitor"}
PROGRAMS = ("auth-service", "api-service", "gateway")
# What docs/kubernetes.md has the Secret hold, as something that the programs take.
SECRETS = {
    "key-encryption-key": "A" * 43,
    "state-keys": "first=" + "A" * 43,
    "database-url": "postgres://statewise:x@127.0.0.1:1/statewise",
    "postgres-password": "x",
}
NAME = "app.kubernetes.io/name"
# Settings of every program that are not among those that it names: OpenTelemetry's own.
OF_THE_SDK = {"OTEL_RESOURCE_ATTRIBUTES"}
DRAIN_TIMEOUT = 10


class Findings:
    def __init__(self):
        self.checked, self.faults = 0, []

    def check(self, good, what):
        self.checked += 1
        if not good:
            self.faults.append(what)


def settings_of(folder):
    """The variables that each program names in its own reference."""
    found = {}
    for program in PROGRAMS:
        text = subprocess.run((folder / program, "--help"), check=True, stdout=subprocess.PIPE, text=True).stdout
        found[program] = set(re.findall(r"\[env: (\w+)", text)) | OF_THE_SDK
    return found


def render(folder):
    kubectl = pathlib.Path(sys.executable).with_name("kubectl")
    done = subprocess.run((kubectl, "kustomize", folder), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    if done.returncode:
        sys.exit(f"kubernetes-check: {folder}: {done.stderr}")
    return list(yaml.safe_load_all(done.stdout))


class Overlay:
    """The objects of one overlay, and what is wrong with them."""

    def __init__(self, name, objects, settings, findings):
        self.name, self.objects, self.settings, self.findings = name, objects, settings, findings
        self.workloads = [one for one in objects if one["kind"] in ("Deployment", "StatefulSet", "Job")]
        self.services = {one["metadata"]["name"]: one for one in self.of("Service")}

    def of(self, kind):
        return [one for one in self.objects if one["kind"] == kind]

    def check(self, good, one, what):
        self.findings.check(good, f"{self.name}: {one['kind']} {one['metadata']['name']}: {what}")

    def all(self):
        for one in self.objects:
            self.schema(one)
        for one in self.workloads:
            self.pod(one)
            self.settings_exist(one)
            self.probes(one)
        for one in self.of("Deployment"):
            self.scaled(one)
            self.ends_in_time(one)
            self.reaches_what_it_needs(one)
        for one in self.services.values():
            self.service(one)
        for one in self.of("NetworkPolicy") + self.of("PodDisruptionBudget") + self.of("PodMonitor"):
            self.selects(one)
        for one in self.of("HorizontalPodAutoscaler"):
            target = one["spec"]["scaleTargetRef"]
            known = [(other["kind"], other["metadata"]["name"]) for other in self.workloads]
            self.check((target["kind"], target["name"]) in known, one, f"scales {target}, which is not there")
        for one in self.of("HTTPRoute"):
            for rule in one["spec"]["rules"]:
                for backend in rule["backendRefs"]:
                    ports = [port["port"] for port in self.ports_of_service(backend["name"])]
                    self.check(backend["port"] in ports, one, f"leads to {backend}, which is not there")

    def schema(self, one):
        for version in VERSIONS:
            with contextlib.redirect_stderr(io.StringIO()):
                try:
                    kubernetes_validate.validate(one, version, strict=True)
                    fault = None
                except kubernetes_validate.SchemaNotFoundError:
                    fault = None if one["kind"] in UNCHECKED else f"there is no schema of it in {version}"
                except kubernetes_validate.ValidationError as error:
                    fault = f"not of {version}: {'.'.join(map(str, error.path))}: {error.message}"
            self.check(fault is None, one, fault)

    def template(self, one):
        return one["spec"]["template"]

    def labels(self, one):
        return self.template(one)["metadata"]["labels"]

    def containers(self, one):
        return self.template(one)["spec"]["containers"]

    def program(self, container):
        """Which of our programs a container runs, if any."""
        image = container["image"].rsplit("/", 1)[-1].split(":")[0]
        return image.removeprefix("statewise-") if image.removeprefix("statewise-") in PROGRAMS else None

    def pod(self, one):
        """Pod security `restricted`, and no more than that."""
        spec = self.template(one)["spec"]
        of_pod = spec["securityContext"]
        self.check(of_pod.get("runAsNonRoot") and of_pod.get("runAsUser"), one, "may run as root")
        self.check(of_pod.get("seccompProfile") == {"type": "RuntimeDefault"}, one, "has no seccomp profile")
        self.check(spec.get("automountServiceAccountToken") is False, one, "gets a token of the API")
        self.check(spec.get("enableServiceLinks") is False, one, "gets variables of Services")
        for container in spec["containers"]:
            context = container.get("securityContext", {})
            self.check(context.get("allowPrivilegeEscalation") is False, one, "may get more privileges")
            self.check(context.get("readOnlyRootFilesystem") is True, one, "may write to its image")
            self.check(context.get("capabilities") == {"drop": ["ALL"]}, one, "keeps capabilities")
            resources = container.get("resources", {})
            self.check({"cpu", "memory"} <= set(resources.get("requests", {})), one, "requests no cpu or no memory")
            self.check("memory" in resources.get("limits", {}), one, "has no limit of memory")
            mounts = {mount["name"] for mount in container.get("volumeMounts", [])}
            volumes = {volume["name"] for volume in spec.get("volumes", [])}
            volumes |= {claim["metadata"]["name"] for claim in one["spec"].get("volumeClaimTemplates", [])}
            self.check(mounts <= volumes, one, f"mounts {mounts - volumes}, which is no volume")
        selector = one["spec"].get("selector", {}).get("matchLabels", {})
        self.check(selector.items() <= self.labels(one).items(), one, "does not select its own pods")

    def environment(self, one, container):
        """The variables with their values, those of secrets as something that is taken."""
        values = {}
        maps = {other["metadata"]["name"]: other["data"] for other in self.of("ConfigMap")}
        for variable in container.get("env", []):
            source = variable.get("valueFrom", {})
            if "secretKeyRef" in source:
                key = source["secretKeyRef"]
                self.check(key["name"] == "statewise" and key["key"] in SECRETS, one, f"{key} is no secret of ours")
                values[variable["name"]] = SECRETS.get(key["key"], "")
            elif "configMapKeyRef" in source:
                key = source["configMapKeyRef"]
                # That of the load test is made when it is started.
                if key["name"] != "loadtest":
                    self.check(key["key"] in maps.get(key["name"], {}), one, f"{key} is not there")
                values[variable["name"]] = maps.get(key["name"], {}).get(key["key"], "")
            else:
                values[variable["name"]] = str(variable["value"])
                secret = re.search(r"(KEY|KEYS|SECRET|PASSWORD|DATABASE_URL)$", variable["name"])
                self.check(not secret, one, f"{variable['name']} is written down")
        return values

    def settings_exist(self, one):
        for container in self.containers(one):
            values, program = self.environment(one, container), self.program(container)
            if program is None:
                continue
            unknown = set(values) - self.settings[program]
            self.check(not unknown, one, f"{program} has no setting {', '.join(sorted(unknown))}")
            fault = refused(self.settings["folder"] / program, values)
            self.check(fault is None, one, fault)

    def ports(self, container):
        return {port["name"]: port["containerPort"] for port in container.get("ports", [])}

    def probes(self, one):
        for container in self.containers(one):
            ports, program = self.ports(container), self.program(container)
            if program is None:
                continue
            values = self.environment(one, container)
            listens = {name: int(value.rsplit(":", 1)[1]) for name, value in values.items() if name.endswith("_LISTEN")}
            self.check(set(ports.values()) == set(listens.values()), one, f"listens on {listens} and has {ports}")
            prefix = next(name.split("_")[0] for name in listens)
            public = listens.get(f"{prefix}_LISTEN")
            operators = listens.get(f"{prefix}_ADMIN_LISTEN", public)
            for probe, path, port in (
                ("startupProbe", "/healthz", public),
                ("livenessProbe", "/healthz", public),
                ("readinessProbe", "/readyz", operators),
            ):
                asked = container[probe]["httpGet"]
                self.check(asked["path"] == path, one, f"{probe} asks {asked['path']}")
                self.check(ports.get(asked["port"]) == port, one, f"{probe} asks at {asked['port']}, not where {path} is")

    def scaled(self, one):
        """What every one of our Deployments has."""
        labels = self.labels(one)
        budgets = [other["spec"] for other in self.of("PodDisruptionBudget")]
        ours = [budget for budget in budgets if budget["selector"]["matchLabels"].items() <= labels.items()]
        self.check(len(ours) == 1 and ours[0].get("maxUnavailable") == 1, one, "has no disruption budget")
        targets = [other["spec"] for other in self.of("HorizontalPodAutoscaler")]
        targets = [other for other in targets if other["scaleTargetRef"]["name"] == one["metadata"]["name"]]
        self.check(len(targets) == 1 and targets[0].get("minReplicas", 0) > 1, one, "has no autoscaler, or one that leaves one")
        self.check("replicas" not in one["spec"], one, "has replicas, which undo what the autoscaler said")
        spread = self.template(one)["spec"].get("topologySpreadConstraints", [])
        self.check({each["topologyKey"] for each in spread} == {"kubernetes.io/hostname", "topology.kubernetes.io/zone"}, one, "is not spread")
        for each in spread:
            self.check(each["labelSelector"]["matchLabels"].items() <= labels.items(), one, "spreads others' pods")

    def ends_in_time(self, one):
        spec = self.template(one)["spec"]
        for container in spec["containers"]:
            grace = [value for name, value in self.environment(one, container).items() if name.endswith("_DRAIN_GRACE")]
            self.check(len(grace) == 1, one, "does not say how long it goes on serving")
            seconds = int(grace[0].removesuffix("s")) + DRAIN_TIMEOUT if grace else 0
            given = spec["terminationGracePeriodSeconds"]
            self.check(seconds + 5 <= given, one, f"is killed after {given} s and may take {seconds}")

    def ports_of_service(self, name):
        return self.services[name]["spec"]["ports"] if name in self.services else []

    def matching(self, selector):
        """Workloads whose pods a selector chooses."""
        chosen = []
        for one in self.workloads:
            labels = self.labels(one)
            fits = selector.get("matchLabels", {}).items() <= labels.items()
            for expression in selector.get("matchExpressions", []):
                fits = fits and expression["operator"] == "In" and labels.get(expression["key"]) in expression["values"]
            chosen += [one] if fits else []
        return chosen

    def service(self, one):
        behind = self.matching({"matchLabels": one["spec"]["selector"]})
        self.check(len(behind) == 1, one, f"leads to {len(behind)} workloads")
        for port in one["spec"]["ports"]:
            for workload in behind:
                ports = self.ports(self.containers(workload)[0])
                self.check(ports.get(port["targetPort"]) == port["port"], one, f"has {port}, and the pods {ports}")

    def selects(self, one):
        spec = one["spec"]
        selector = spec.get("podSelector", spec.get("selector"))
        chosen = self.matching(selector)
        for expression in selector.get("matchExpressions", []):
            known = {self.labels(workload)[NAME] for workload in self.workloads}
            self.check(set(expression["values"]) <= known, one, f"selects {expression['values']} of {known}")
        self.check(chosen, one, "selects nothing")
        for rule in spec.get("ingress", []):
            for peer in rule.get("from", []):
                if "podSelector" in peer:
                    self.check(self.matching(peer["podSelector"]), one, f"lets in {peer}, which is not there")
            for port in rule["ports"]:
                for workload in chosen:
                    ports = self.ports(self.containers(workload)[0]).values()
                    self.check(port["port"] in ports, one, f"lets in to {port['port']}, where nobody listens")
        for endpoint in spec.get("podMetricsEndpoints", []):
            for workload in chosen:
                self.check(endpoint["port"] in self.ports(self.containers(workload)[0]), one, f"asks at {endpoint}")
            self.check(endpoint["path"] == "/metrics", one, f"asks {endpoint}")

    def reaches_what_it_needs(self, one):
        """What the settings name is a Service with that port, whose pods let these pods in."""
        for container in self.containers(one):
            values = self.environment(one, container)
            pools = re.findall(r"dns:([\w-]+):(\d+)", values.get("GATEWAY_POOLS", ""))
            urls = [found for value in values.values() for found in re.findall(r"^\w+://([\w-]+):(\d+)", value)]
            for name, port in pools + urls:
                known = [each["port"] for each in self.ports_of_service(name)]
                self.check(int(port) in known, one, f"needs {name}:{port}, and there is {known}")
                self.check(self.lets_in(name, one, int(port)), one, f"is not let in to {name}:{port}")
            health = values.get("GATEWAY_HEALTH_PORT")
            for name, _ in pools:
                headless = self.services.get(name, {}).get("spec", {}).get("clusterIP") == "None"
                self.check(headless, one, f"balances over {name}, which has one address")
                self.check(health and self.lets_in(name, one, int(health)), one, f"cannot ask {name} how it is")

    def lets_in(self, service, caller, port):
        if service not in self.services:
            return False
        pods = self.matching({"matchLabels": self.services[service]["spec"]["selector"]})
        for policy in self.of("NetworkPolicy"):
            chosen = self.matching(policy["spec"]["podSelector"])
            for rule in policy["spec"].get("ingress", []):
                ports = [each["port"] for each in rule["ports"]]
                peers = [caller in self.matching(peer["podSelector"]) for peer in rule.get("from", []) if "podSelector" in peer]
                if pods and pods[0] in chosen and port in ports and any(peers):
                    return True
        return False


def refused(program, values):
    """What a program says is wrong with its variables; nothing when it starts, or ends for another reason."""
    environment = {"PATH": os.environ["PATH"], **values}
    for name in values:
        if name.endswith("_LISTEN"):
            environment[name] = "127.0.0.1:0"
    with tempfile.TemporaryDirectory() as folder:
        if "AUTH_DATA_DIR" in values:
            environment["AUTH_DATA_DIR"] = folder
        child = subprocess.Popen((program,), env=environment, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        try:
            _, said = child.communicate(timeout=1)
        except subprocess.TimeoutExpired:
            # Not told to end: its drain takes as long as it says.
            child.kill()
            _, said = child.communicate()
            return None if "is no setting" not in said else said
    return said if child.returncode == 64 else None


def check_compose(path, settings, findings):
    """The variables of a Compose or stack file."""
    for name, service in yaml.safe_load(path.read_text())["services"].items():
        image = service.get("build", {}).get("target") or re.sub(r".*statewise-([\w-]+).*", r"\1", service.get("image", ""))
        if image not in PROGRAMS:
            continue
        script = " ".join(service.get("entrypoint") or [])
        names = set(service.get("environment") or {}) | set(re.findall(r"^([A-Z]\w+)=", script, re.MULTILINE))
        unknown = names - settings[image]
        findings.check(not unknown, f"{path.relative_to(ROOT)}: {name}: {image} has no setting {unknown}")


def main():
    folder = pathlib.Path(sys.argv[1]).resolve()
    settings, findings = settings_of(folder) | {"folder": folder}, Findings()
    objects = 0
    for name in RENDERED:
        rendered = render(FOLDER / name)
        objects += len(rendered)
        Overlay(name, rendered, settings, findings).all()
    for path in (ROOT / "docker-compose.yml", ROOT / "deploy/swarm/stack.yml"):
        check_compose(path, settings, findings)
    for fault in findings.faults:
        print(f"kubernetes-check: {fault}")
    print(f"kubernetes-check: {objects} objects in {len(RENDERED)} renderings; no schema of {', '.join(sorted(UNCHECKED))}")
    print(f"{findings.checked - len(findings.faults)} passed, {len(findings.faults)} failed")
    sys.exit(1 if findings.faults else 0)


main()
