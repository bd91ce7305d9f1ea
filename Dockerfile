# Keyfold as a container: docker build -t keyfold .
#
# It runs as user 10001, needs no file of the image to be writable, and keeps nothing but what is
# under /var/lib/keyfold (a SQLite ledger and its secret; nothing at all on PostgreSQL). All of its
# packages with compiled parts have wheels for x86_64 and aarch64.
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /src
# With `--build-arg LOCK=otel` it can send traces: docs/operations.md.
ARG LOCK=runtime
# The locks first: a change of Keyfold's own code does not install everything anew.
COPY requirements/runtime.txt requirements/otel.txt requirements/
RUN python3 -m venv /opt/keyfold \
    && /opt/keyfold/bin/pip install --no-cache-dir --require-hashes --only-binary :all: -r requirements/${LOCK}.txt
COPY pyproject.toml setup.py README.md LICENSE ./
COPY keyfold keyfold
COPY ledger ledger
COPY projections projections
COPY commands commands
COPY examples examples
COPY web web
RUN /opt/keyfold/bin/pip install --no-cache-dir --no-deps . \
    && /opt/keyfold/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN groupadd --gid 10001 keyfold \
    && useradd --uid 10001 --gid keyfold --home-dir /var/lib/keyfold --create-home --shell /usr/sbin/nologin keyfold \
    && chmod 0700 /var/lib/keyfold
COPY --from=build /opt/keyfold /opt/keyfold
ENV PATH=/opt/keyfold/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1
USER 10001:10001
WORKDIR /var/lib/keyfold
VOLUME /var/lib/keyfold
EXPOSE 8000
# Whether the process is there. Whether it should be sent requests, a load balancer asks /readyz.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python3", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/healthz', timeout=4)"]
ENTRYPOINT ["keyfold"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--workers", "2"]
