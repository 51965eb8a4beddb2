# docker build --tag mass-stop .
#
# docs/how-to/container.md says how to run it. The base images come from your own registry if --build-arg BASE names
# one. pip uses its configured registry. If the build needs a pip.conf, pass it with --secret id=pip.
#
# The digest decides which image is used; the tag beside it is for people. docs/how-to/container.md says how to renew
# both. The digest is from the list that Docker's official images publish of themselves (docker-library/repo-info).
ARG BASE=docker.io/library/python:3.13.14-slim-trixie@sha256:9662417aace5ae7b8e2609cce472b72a8958e134ba372808abe9cc1a0c0125e6

# ---------------------------------------------------------------------------------------------- what builds it
FROM ${BASE} AS build

ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_INPUT=1
WORKDIR /src

# The locks first: they change rarely, so these layers are kept. Every file is checked against its hash.
COPY requirements.lock requirements-build.lock ./
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv /build \
    && /build/bin/pip install --require-hashes --no-deps -r requirements-build.lock
RUN --mount=type=secret,id=pip,target=/etc/pip.conf \
    python -m venv --without-pip /app \
    && /build/bin/pip --python /app/bin/python install --require-hashes --no-deps --compile -r requirements.lock

COPY pyproject.toml LICENSE README.md ./
COPY orchestrator orchestrator
RUN /build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
    && /build/bin/pip --python /app/bin/python install --no-deps --no-index --compile /wheels/*.whl

# ---------------------------------------------------------------------------------------------- what runs
FROM ${BASE} AS run

LABEL org.opencontainers.image.title="mass-stop" \
      org.opencontainers.image.description="Stops many Zuora mass actions at once, and reports what really happened." \
      org.opencontainers.image.licenses="MIT"

COPY --from=build /app /app
# The one place that is written to. A volume takes its owner from here.
RUN install --directory --owner=10001 --group=10001 --mode=0700 /runs

ENV PATH=/app/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 SQLITE_TMPDIR=/runs
# A number, so that a cluster can see that it is not root.
USER 10001:10001
WORKDIR /runs
VOLUME ["/runs"]

# No shell between: SIGTERM reaches mass-stop, which lets the calls under way come back and writes the report. The kernel
# discards a signal for which process 1 has no handler, so `env` blocks signals until mass-stop has its handlers.
STOPSIGNAL SIGTERM
ENTRYPOINT ["env", "--block-signal=HUP,INT,TERM", "mass-stop"]
CMD ["--help"]
