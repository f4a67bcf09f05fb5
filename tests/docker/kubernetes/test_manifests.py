"""The manifests against the published schema, and against what the project's commands say."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "docker" / "kubernetes"
SCHEMA = json.loads(Path(__file__).with_name("pytorchjob.schema.json").read_text())
DOCUMENTS = [
    pytest.param(document, id=f"{path.name}:{document['metadata']['name']}")
    for path in sorted(FOLDER.glob("*.yaml"))
    for document in yaml.safe_load_all(path.read_text())
]
JOBS = [case for case in DOCUMENTS if case.values[0]["kind"] == "PyTorchJob"]


def errors(document):
    """What the schema of the document's kind says against it: path and message."""
    root = next(
        choice
        for choice in SCHEMA["oneOf"]
        if choice["properties"]["kind"]["const"] == document["kind"]
    )
    validator = Draft202012Validator({**root, "$defs": SCHEMA["$defs"]})
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]


def worker(job):
    return job["spec"]["pytorchReplicaSpecs"]["Worker"]


def pod(job):
    return worker(job)["template"]["spec"]


def container(job):
    return pod(job)["containers"][0]


def test_there_are_manifests():
    assert {case.id.partition(":")[0] for case in JOBS} == {"train-cpu.yaml", "train-gpu.yaml"}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_valid(document):
    Draft202012Validator.check_schema(SCHEMA)
    assert errors(document) == []
    Draft202012Validator(SCHEMA).validate(document)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda job: job["spec"].update(runPolicies={}), "'runPolicies' was unexpected"),
        (lambda job: job["spec"].pop("runPolicy"), "'runPolicy' is a required property"),
        (lambda job: job["spec"].pop("pytorchReplicaSpecs"), "'pytorchReplicaSpecs' is a required"),
        (lambda job: worker(job).update(replicas="2"), "'2' is not of type 'integer'"),
        (lambda job: pod(job).update(container=[]), "'container' was unexpected"),
        (lambda job: container(job).pop("name"), "'name' is a required property"),
        (lambda job: container(job).update(args="train"), "'train' is not of type 'array'"),
        (lambda job: container(job)["args"].append(8), "8 is not of type 'string'"),
        (lambda job: container(job)["env"][0].update(value=300), "300 is not of type 'string'"),
        (lambda job: container(job)["resources"].update(gpus="8"), "'gpus' was unexpected"),
        (lambda job: pod(job)["volumes"][0].pop("name"), "'name' is a required property"),
        (lambda job: job.update(apiVersion="kubeflow.org/v2"), "'kubeflow.org/v1' was expected"),
    ],
)
def test_the_schema_finds_mistakes(change, message):
    job = json.loads(json.dumps(JOBS[0].values[0]))  # without YAML's aliases
    change(job)
    (found,) = errors(job)
    assert message in found


@pytest.mark.parametrize("job", JOBS)
class TestJob:
    def test_the_operator_finds_its_container(self, job):
        assert container(job)["name"] == "pytorch"
        assert worker(job)["restartPolicy"] == "OnFailure"
        assert job["spec"]["runPolicy"]["cleanPodPolicy"] in ("None", "Running", "All")

    def test_the_numbers_agree(self, job):
        elastic, replicas = job["spec"]["elasticPolicy"], worker(job)["replicas"]
        assert elastic["minReplicas"] == elastic["maxReplicas"] == replicas
        assert job["spec"]["runPolicy"]["schedulingPolicy"]["minAvailable"] == replicas
        gpus = container(job)["resources"]["limits"].get("nvidia.com/gpu")
        assert gpus in (None, container(job)["args"][2])

    def test_the_run_has_a_name_of_its_own(self, job):
        assert job["spec"]["elasticPolicy"]["rdzvId"] == job["metadata"]["name"]
        assert container(job)["args"][4] == f"work_dirs/{job['metadata']['name']}"

    def test_the_command(self, job):
        script, config, processes, *options = container(job)["args"]
        assert script == "tools/dist_train.sh"
        assert (ROOT / script).is_file()
        assert (ROOT / config).is_file()
        assert int(processes) > 0
        assert options[-2:] == ["--resume", "auto"]
        # It would take the place of the image's entry point, which hands signals on.
        assert "command" not in container(job)

    def test_there_is_time_to_save(self, job):
        environment = {entry["name"]: entry["value"] for entry in container(job)["env"]}
        seconds = int(environment["STOP_SECONDS"])
        assert pod(job)["terminationGracePeriodSeconds"] >= seconds + 60
        assert not {"NNODES", "NODE_RANK", "RDZV", "MASTER_ADDR", "PORT"} & environment.keys()

    def test_nothing_runs_as_root(self, job):
        assert pod(job)["securityContext"]["runAsNonRoot"] is True
        assert pod(job)["automountServiceAccountToken"] is False
        for each in [*pod(job).get("initContainers", []), *pod(job)["containers"]]:
            assert each["securityContext"]["allowPrivilegeEscalation"] is False
            assert each["securityContext"]["capabilities"]["drop"] == ["ALL"]

    def test_volumes(self, job):
        volumes = {volume["name"]: volume for volume in pod(job)["volumes"]}
        mounts = {mount["name"]: mount for mount in container(job)["volumeMounts"]}
        assert volumes.keys() == mounts.keys() == {"shm", "data", "work"}
        assert mounts["shm"]["mountPath"] == "/dev/shm"
        assert volumes["shm"]["emptyDir"]["medium"] == "Memory"
        assert mounts["data"]["readOnly"] is True
        claims = {case.values[0]["metadata"]["name"] for case in DOCUMENTS} - {
            case.values[0]["metadata"]["name"] for case in JOBS
        }
        for volume in volumes.values():
            claim = volume.get("persistentVolumeClaim", {}).get("claimName")
            assert claim is None or claim in claims
