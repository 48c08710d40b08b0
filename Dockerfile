# Images of Waymark: light, data and train run pipeline steps, serving answers requests.
# Versions come from requirements.txt; each image installs only what its steps import (docs/adr/0006).
# The classic builder builds every stage above its target: cheap targets stand first.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /requirements.txt
RUN pip install -c /requirements.txt numpy scipy polars pyarrow pydantic structlog orjson

FROM ${BASE} AS runtime
RUN groupadd --gid 10001 waymark && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp waymark
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL=3 MPLCONFIGDIR=/tmp HOME=/tmp
LABEL org.opencontainers.image.title="Waymark"
WORKDIR /app
USER 10001:10001

FROM build AS build-step
RUN pip install -c /requirements.txt kfp

# Code and version come last: a commit changes small layers alone.
FROM build-step AS build-light
RUN pip install -c /requirements.txt gensim

FROM runtime AS light
COPY --from=build-light /opt/venv /opt/venv
COPY components /app/components
ARG VERSION=dev
ENV WAYMARK_VERSION=${VERSION}

FROM build AS build-serving
RUN pip install -c /requirements.txt kserve tensorflow tf-keras typer pydantic-settings prometheus-client

FROM runtime AS serving
COPY --from=build-serving /opt/venv /opt/venv
COPY components/__init__.py /app/components/__init__.py
COPY components/contract /app/components/contract
COPY serving /app/serving
ARG VERSION=dev
ENV WAYMARK_VERSION=${VERSION}
EXPOSE 8080
HEALTHCHECK --interval=10s --start-period=60s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python3", "-m", "serving"]
CMD ["--release", "/mnt/models", "--host", "0.0.0.0", "--port", "8080"]

FROM build-step AS build-data
# pyfarmhash, which TFDV needs, has no wheel.
RUN command -v g++ >/dev/null || { apt-get update && apt-get install -y --no-install-recommends g++ python3-dev; }
RUN pip install -c /requirements.txt apache-beam tensorflow-data-validation

FROM runtime AS data
COPY --from=build-data /opt/venv /opt/venv
COPY components /app/components
ARG VERSION=dev
ENV WAYMARK_VERSION=${VERSION}

FROM build-step AS build-train
# GPU=1 adds the CUDA libraries that TensorFlow's wheels look for.
ARG GPU=0
RUN extra=$([ "$GPU" = 1 ] && echo '[and-cuda]' || true) && \
    pip install -c /requirements.txt "tensorflow$extra" tf-keras tensorflow-recommenders matplotlib

FROM runtime AS train
COPY --from=build-train /opt/venv /opt/venv
COPY components /app/components
ARG VERSION=dev
ENV WAYMARK_VERSION=${VERSION}
