# Images of Waymark: light, data and train run pipeline steps, serving and serving-gpu answer requests
# (docs/adr/0006-images.md).
# Each image installs its list in tools/images, at the versions of requirements.txt, on top of what it shares with
# the others: one layer of common packages, one more of the steps'.
# The classic builder builds every stage above its target: cheap targets stand first.
ARG BASE=python:3.13-slim-trixie

FROM ${BASE} AS build
# An index other than PyPI.
ARG PIP_INDEX_URL
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
# pip installs into /opt/venv from outside, so that the images hold none.
RUN python3 -m venv /opt/pip && python3 -m venv --without-pip /opt/venv
COPY requirements.txt tools/images/install.sh tools/images/common.in /build/
RUN /build/install.sh /opt/venv /build/common.in

# Compiled loops of what a request waits for (docs/adr/0012-compiled-kernels.md).
FROM build AS build-kernels
RUN command -v gcc >/dev/null || { apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev; }
COPY components/__init__.py /build/components/__init__.py
COPY components/contract/__init__.py components/contract/files.py /build/components/contract/
COPY components/contract/kernels /build/components/contract/kernels
# The runtime of its threads comes along: a slim base has none.
RUN cd /build && CC=gcc /opt/venv/bin/python -m components.contract.kernels /opt/kernels && \
    cp -L "$(gcc -print-file-name=libgomp.so.1)" /opt/kernels/lib/waymark/

# What the steps add to it; each list after it is installed beside what is there, as a layer of its own.
FROM build AS build-steps
COPY tools/images/steps.in /build/
RUN /build/install.sh /opt/steps /build/steps.in && cp -a /opt/steps/. /opt/venv

FROM ${BASE} AS runtime
ARG BASE
RUN groupadd --gid 10001 waymark && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /tmp waymark && \
    rm -rf /usr/share/python-wheels /usr/lib/python3*/ensurepip /usr/local/lib/python3*/ensurepip \
      /usr/local/lib/python3*/site-packages/pip* /usr/local/bin/pip*
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    TF_USE_LEGACY_KERAS=1 TF_CPP_MIN_LOG_LEVEL=3 MPLCONFIGDIR=/tmp HOME=/tmp
LABEL org.opencontainers.image.title="Waymark" \
      org.opencontainers.image.description="Recommends the next page of a learning academy" \
      org.opencontainers.image.base.name="${BASE}"
WORKDIR /app
COPY --from=build /opt/venv /opt/venv
USER 10001:10001

FROM runtime AS runtime-steps
COPY --from=build-steps /opt/steps /opt/venv

# Code and version come last: a commit changes small layers alone.
FROM build-steps AS build-light
COPY tools/images/light.in /build/
RUN /build/install.sh /opt/light /build/light.in

FROM runtime-steps AS light
COPY --from=build-light /opt/light /opt/venv
COPY --from=build-kernels /opt/kernels /opt/venv
COPY components /app/components
ARG VERSION=dev
ARG REVISION=unknown
ENV WAYMARK_VERSION=${VERSION}
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

FROM build AS build-serving
COPY tools/images/serving.in /build/
RUN /build/install.sh /opt/serving /build/serving.in

FROM runtime AS serving
COPY --from=build-serving /opt/serving /opt/venv
COPY --from=build-kernels /opt/kernels /opt/venv
COPY components/__init__.py /app/components/__init__.py
COPY components/contract /app/components/contract
COPY serving /app/serving
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s CMD ["python3", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:8080/v2/health/ready', timeout=2)"]
ENTRYPOINT ["python3", "-m", "serving"]
CMD ["--release", "/mnt/models", "--host", "0.0.0.0", "--port", "8080"]
ARG VERSION=dev
ARG REVISION=unknown
ENV WAYMARK_VERSION=${VERSION}
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

FROM build-steps AS build-data
# pyfarmhash, which TFDV needs, has no wheel.
RUN command -v g++ >/dev/null || { apt-get update && apt-get install -y --no-install-recommends g++ python3-dev; }
COPY tools/images/data.in /build/
RUN /build/install.sh /opt/data /build/data.in

FROM runtime-steps AS data
COPY --from=build-data /opt/data /opt/venv
COPY components /app/components
ARG VERSION=dev
ARG REVISION=unknown
ENV WAYMARK_VERSION=${VERSION}
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

FROM build-steps AS build-train
ARG GPU=0
COPY tools/images/train.in tools/images/gpu.txt /build/
RUN /build/install.sh /opt/train /build/train.in

FROM runtime-steps AS train
COPY --from=build-train /opt/train /opt/venv
COPY components /app/components
ARG VERSION=dev
ARG REVISION=unknown
ENV WAYMARK_VERSION=${VERSION}
LABEL org.opencontainers.image.version="${VERSION}" org.opencontainers.image.revision="${REVISION}"

# The server with TensorFlow and its CUDA libraries, for rankers too large for NumPy.
FROM build-serving AS build-serving-gpu
COPY tools/images/serving-gpu.in tools/images/gpu.txt /build/
RUN cp -a /opt/serving/. /opt/venv && GPU=1 /build/install.sh /opt/gpu /build/serving-gpu.in

FROM serving AS serving-gpu
COPY --from=build-serving-gpu /opt/gpu /opt/venv
# Two releases share the GPU while one takes the other's place.
ENV WAYMARK_RANKER=tensorflow TF_FORCE_GPU_ALLOW_GROWTH=true
