# Images of Waymark: data, train and light run pipeline steps, serving answers requests.
# Versions come from requirements.txt; each image installs only what its steps import.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# pyfarmhash, which TFDV needs, has no wheel.
RUN command -v g++ >/dev/null || { apt-get update && apt-get install -y --no-install-recommends g++ python3-dev python3-venv; }
RUN python3 -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
COPY requirements.txt /requirements.txt
RUN pip install -c /requirements.txt kfp numpy scipy polars pyarrow pydantic structlog orjson

FROM build AS build-light
RUN pip install -c /requirements.txt gensim matplotlib

FROM build AS build-data
RUN pip install -c /requirements.txt apache-beam tensorflow-data-validation

FROM build AS build-train
# GPU=1 adds the CUDA libraries that TensorFlow's wheels look for.
ARG GPU=0
RUN extra=$([ "$GPU" = 1 ] && echo '[and-cuda]' || true) && \
    pip install -c /requirements.txt "tensorflow$extra" tf-keras tensorflow-recommenders matplotlib

FROM build AS build-serving
RUN pip install -c /requirements.txt kserve tensorflow tf-keras typer pydantic-settings prometheus-client

FROM ${BASE} AS runtime
ARG VERSION=dev
LABEL org.opencontainers.image.title="Waymark" org.opencontainers.image.version="${VERSION}"
RUN groupadd --gid 10001 waymark && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp waymark
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    WAYMARK_VERSION=${VERSION} TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL=3 MPLCONFIGDIR=/tmp HOME=/tmp
WORKDIR /app
COPY components /app/components
USER 10001:10001

FROM runtime AS light
COPY --from=build-light /opt/venv /opt/venv

FROM runtime AS data
COPY --from=build-data /opt/venv /opt/venv

FROM runtime AS train
COPY --from=build-train /opt/venv /opt/venv

FROM runtime AS serving
COPY --from=build-serving /opt/venv /opt/venv
COPY serving /app/serving
EXPOSE 8080
HEALTHCHECK --interval=10s --start-period=60s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python3", "-m", "serving"]
CMD ["--release", "/mnt/models", "--host", "0.0.0.0", "--port", "8080"]
