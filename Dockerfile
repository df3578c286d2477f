# One image for all services: `faces ingest`, `faces detector`, `faces writer`, and the rest of the
# command line. `make image` builds it; `make image-test` runs it as Kubernetes would.
#
#   BASE    any Debian-like image with Python 3.11 or newer
#   MODEL   the face model that is baked in (`faces models list`); weights in models/ are used,
#           others are fetched; both are checked against their SHA-256
#   VERSION, REVISION   labels; `make image` takes them from pyproject.toml and git
#
# Behind a package proxy: --secret id=pip,src=pip.conf, which leaves no trace in the image.
ARG BASE=python:3.13-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PYTHONDONTWRITEBYTECODE=1

# pip lives in a venv of its own, and installs into the one that is kept.
RUN python3 -m venv /opt/tools && python3 -m venv --without-pip /opt/venv
COPY requirements.txt requirements-dev.txt ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    /opt/tools/bin/pip --python /opt/venv/bin/python install \
        --require-hashes --only-binary=:all: --no-compile -r requirements.txt \
    && awk '/^[a-z]/ {keep = /^(hatchling|packaging|pathspec|pluggy|trove-classifiers)==/} keep' \
        requirements-dev.txt > /tmp/builder.txt \
    && /opt/tools/bin/pip install --require-hashes --only-binary=:all: -r /tmp/builder.txt

COPY pyproject.toml README.md LICENSE ./
COPY shared shared
COPY services services
RUN /opt/tools/bin/pip wheel --no-index --no-deps --no-build-isolation -w /tmp/wheel . \
    && /opt/tools/bin/pip --python /opt/venv/bin/python install --no-index --no-deps --no-compile \
        /tmp/wheel/*.whl

ARG MODEL=yunet
RUN --mount=type=bind,target=/context \
    --mount=type=secret,id=pip,target=/etc/pip.conf \
    export PATH="/opt/venv/bin:/opt/tools/bin:$PATH" FACES_MODELS_DIR=/tmp/models \
    && mkdir -p /tmp/models /opt/models \
    && file="$(python -c 'import sys; from shared.model_table import MODELS; \
        model = MODELS[sys.argv[1]]; print(model.file if model.sha256 else "")' "${MODEL}")" \
    && if [ -n "${file}" ]; then \
        { cp "/context/models/${file}" /tmp/models/ || faces models pull "${MODEL}"; } \
        && cp "/tmp/models/${file}" /opt/models/; fi \
    && python -c 'import pathlib, sys; from services.detector.models import load; \
        load(sys.argv[1], pathlib.Path("/opt/models"))' "${MODEL}" \
    && chmod -R a+rX /opt/models

# What no service loads: tests of libraries, and a second copy of onnxruntime for programs in C.
# Bytecode is compiled once, here, since at run time the root cannot be written; unchecked, so that
# times of files do not matter.
RUN cd /opt/venv/lib/python3*/site-packages \
    && rm -rf onnx/backend/test onnxruntime/capi/libonnxruntime.so.* \
        numpy/*/tests sqlalchemy/testing greenlet/tests aiosqlite/tests \
    && /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash .

FROM ${BASE}
ARG MODEL=yunet
ARG VERSION=
ARG REVISION=
LABEL org.opencontainers.image.title="faces-in-the-cloud" \
      org.opencontainers.image.description="Finds the faces in very large sets of pictures" \
      org.opencontainers.image.licenses="MIT" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/venv /opt/venv
COPY --from=build /opt/models /opt/models
ENV PATH=/opt/venv/bin:$PATH \
    HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    FACES_MODEL=${MODEL} \
    FACES_MODELS_DIR=/opt/models \
    FACES_HTTP_HOST=0.0.0.0 \
    FACES_HTTP_PORT=8080 \
    FACES_LOG_FORMAT=json
WORKDIR /tmp
USER 10001:10001
EXPOSE 8080
ENTRYPOINT ["faces"]
