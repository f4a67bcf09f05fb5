# Training, tests of a set-up, and export on CPUs: no CUDA libraries. In the top folder of the
# repository:
#   docker build -f docker/cpu.Dockerfile -t normlib:cpu .
ARG BASE=python:3.12-slim-trixie

FROM ${BASE} AS system
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgl1 libglib2.0-0t64 tini \
    && rm -rf /var/lib/apt/lists/*

# The packages of requirements.lock, with PyTorch built for CPUs.
FROM system AS packages
# An index with these builds; that of PyTorch unless a mirror is named.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ENV PYTHON=python3 VENV=/opt/venv TORCH_VARIANT=cpu TORCH_INDEX=${TORCH_INDEX}
WORKDIR /opt/normlib
COPY pyproject.toml requirements.lock ./
COPY tools/install.sh tools/
RUN --mount=type=cache,target=/root/.cache/pip tools/install.sh --packages

FROM packages AS project
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
COPY . .
# install.sh goes on without kernels that cannot be compiled; an image does not.
RUN --mount=type=cache,target=/root/.cache/pip tools/install.sh \
    && ! grep '"cpu": "not built' normlib/lib/build.json \
    && /opt/venv/bin/python -m compileall -q normlib tasks \
    && mkdir /opt/installed \
    && cp -r --parents /opt/venv/lib/python3*/site-packages/*normlib* /opt/installed/

FROM system
# Any other id can be given as well: it finds a home and may write beside the source.
RUN useradd --uid 1000 --create-home --shell /bin/bash normlib \
    && install -d -m 1777 /home/normlib /opt/normlib/data /opt/normlib/work_dirs
COPY --from=packages /opt/venv /opt/venv
COPY --from=project /opt/installed /
COPY --from=project /opt/normlib /opt/normlib
# OMP_NUM_THREADS is left to tools/dist_train.sh, which shares the cores out.
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/home/normlib \
    USER=normlib \
    PYTHONUNBUFFERED=1
WORKDIR /opt/normlib
USER 1000:1000
ENTRYPOINT ["tini", "--"]
CMD ["python", "tools/train.py", "--help"]

ARG REVISION=unknown
ARG SOURCE=unknown
LABEL org.opencontainers.image.title="normlib" \
    org.opencontainers.image.description="Training with switchable normalisation on CPUs" \
    org.opencontainers.image.licenses="Apache-2.0" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.revision="${REVISION}"
