# Everything that is downloaded has a hash in a lock, the tools of the build too; the service runs without rights.
#
# Both stages start from the same image, named by the digest of its multi-architecture index, so that a tag that was
# moved cannot change what is built. To renew it: `docker buildx imagetools inspect python:3.11-slim`, and put the
# digest that it prints first into both lines. As recorded, it is Python 3.11.17 on Debian 13.
FROM python:3.11-slim@sha256:45037981b62b34b44602584fccbc4d884d5f7dc92c7ee86bb38a698a79fe1e51 AS build
WORKDIR /source
COPY requirements.lock requirements-build.lock ./
RUN python -m venv /opt/verbatim && python -m venv /opt/build \
 && /opt/verbatim/bin/pip install --no-cache-dir --require-hashes --no-build-isolation --requirement requirements.lock \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-build-isolation --requirement requirements-build.lock
COPY pyproject.toml README.md LICENSE openapi.json ./
COPY backend ./backend
COPY alembic ./alembic
COPY clients/python ./clients/python
RUN /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels ./clients/python . \
 && /opt/verbatim/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl

FROM python:3.11-slim@sha256:45037981b62b34b44602584fccbc4d884d5f7dc92c7ee86bb38a698a79fe1e51
RUN useradd --system --uid 10001 --no-create-home verbatim
COPY --from=build /opt/verbatim /opt/verbatim
ENV PATH=/opt/verbatim/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VERBATIM_HOST=0.0.0.0
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
# Liveness, not readiness: some platforms restart a container that is unhealthy, and a restart does not bring a database
# back, but loses the requests in work. A load balancer should ask /readyz.
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/livez', timeout=2)"]
ENTRYPOINT ["verbatim"]
CMD ["serve"]
