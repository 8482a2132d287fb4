# The exporter in a virtual environment of its own, on a Python that is there already: no pip, compiler or shell script added.
#
#   docker build --build-arg REVISION="$(git rev-parse HEAD)" --tag exoscale-ai-exporter .
#   docker run --rm --read-only --cap-drop ALL --security-opt no-new-privileges --publish 10042:10042 exoscale-ai-exporter --demo
#
# Any base image does that has python3 (3.11 or newer) with venv.
ARG BASE_IMAGE=docker.io/library/python:3.13.11-slim-bookworm

FROM ${BASE_IMAGE} AS build
# pip's own settings, for those who have an index of their own. Nothing of them reaches the image.
ARG PIP_INDEX_URL=""
ARG PIP_EXTRA_INDEX_URL=""
ARG PIP_NO_INDEX=""
ARG PIP_FIND_LINKS=""
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /src

# Only wheels, and only those whose hashes the lock file knows, so that nothing is run that was not reviewed.
COPY requirements/runtime.txt requirements/
RUN python3 -m venv /tools \
    && /tools/bin/pip download --quiet --require-hashes --only-binary :all: --dest /wheels --requirement requirements/runtime.txt \
    && /tools/bin/pip --isolated install --quiet --no-index --find-links /wheels --require-hashes --requirement requirements/runtime.txt

# What the exporter needs of those wheels, at the versions of the lock file: there are no others. Compiled by content rather than
# by time, so that the same source gives the same files.
COPY pyproject.toml README.md LICENSE ./
COPY deploy/systemd deploy/systemd
COPY exporter exporter
RUN /tools/bin/python -m hatchling build --target wheel --directory /wheels \
    && python3 -m venv --without-pip /opt/exoscale-ai-exporter \
    && /tools/bin/pip --isolated --python /opt/exoscale-ai-exporter/bin/python install --quiet --no-compile \
        --no-index --find-links /wheels exoscale-ai-exporter \
    && /opt/exoscale-ai-exporter/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/exoscale-ai-exporter/lib

FROM ${BASE_IMAGE}
ARG REVISION=""
ARG VERSION=""
LABEL org.opencontainers.image.title="exoscale-ai-exporter" \
      org.opencontainers.image.description="Prometheus exporter for Exoscale's AI deployments (Dedicated Inference)" \
      org.opencontainers.image.source="https://github.com/exoscale-ai-exporter/exoscale-ai-exporter" \
      org.opencontainers.image.documentation="https://github.com/exoscale-ai-exporter/exoscale-ai-exporter#readme" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /opt/exoscale-ai-exporter /opt/exoscale-ai-exporter
ENV EXPORTER_REVISION="${REVISION}" \
    PATH=/opt/exoscale-ai-exporter/bin:/usr/local/bin:/usr/bin:/bin \
    PYTHONDONTWRITEBYTECODE=1
WORKDIR /
USER 65532:65532
EXPOSE 10042
# For the port and protocol of the default: with another --web.listen-address, TLS or basic auth, give a check of your own.
HEALTHCHECK --interval=30s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/exoscale-ai-exporter/bin/python", "-I", "-c", "import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 10042, timeout=3); c.request('GET', '/-/healthy'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["/opt/exoscale-ai-exporter/bin/exoscale-ai-exporter"]
