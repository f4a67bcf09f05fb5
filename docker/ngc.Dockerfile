# On NVIDIA's PyTorch image, with its PyTorch, CUDA and NCCL. In the top folder of the repository:
#   docker build -f docker/ngc.Dockerfile -t normlib:ngc .
#
# 26.03 has a torch 2.11 of NVIDIA's, the release that requirements.lock pins.
ARG BASE=nvcr.io/nvidia/pytorch:26.03-py3

FROM ${BASE}
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0t64 tini \
    && rm -rf /var/lib/apt/lists/*

# An environment above the Python of the image: install.sh installs neither torch nor torchvision,
# and fails where the torch is out of pyproject.toml's range or another one afterwards. The image
# constrains pip to its own versions; the environment is to have those of requirements.lock.
ENV PYTHON=python3 VENV=/opt/venv TORCH_VARIANT=system PIP_CONSTRAINT=
WORKDIR /opt/normlib
COPY pyproject.toml requirements.lock ./
COPY tools/install.sh tools/
RUN --mount=type=cache,target=/root/.cache/pip tools/install.sh --packages

# Compiled with the CUDA compiler of the image, which stays: Triton works here.
COPY . .
# install.sh goes on without kernels that cannot be compiled; an image does not.
RUN --mount=type=cache,target=/root/.cache/pip tools/install.sh \
    && ! grep 'not built' normlib/lib/build.json \
    && /opt/venv/bin/python -m compileall -q normlib tasks \
    && install -d -m 1777 data work_dirs

# The image has a user 1000. Any other id can be given as well.
RUN install -d -m 1777 /home/normlib
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/normlib \
    USER=normlib \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1
USER 1000:1000
# NVIDIA's script checks the driver and then becomes the command.
ENTRYPOINT ["tini", "--", "/opt/nvidia/nvidia_entrypoint.sh"]
CMD ["python", "tools/train.py", "--help"]

ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="normlib" \
    org.opencontainers.image.description="Training with switchable normalisation on NVIDIA's PyTorch" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.revision="${REVISION}"
