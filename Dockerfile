# The pins, with their hashes, decide what goes in; the service runs as nobody in particular.
FROM python:3.11-slim AS build
WORKDIR /source
COPY requirements.lock ./
RUN python -m venv /opt/verbatim \
 && /opt/verbatim/bin/pip install --no-cache-dir --require-hashes --requirement requirements.lock
COPY pyproject.toml README.md LICENSE ./
COPY backend ./backend
COPY alembic ./alembic
RUN /opt/verbatim/bin/pip install --no-cache-dir --no-deps .

FROM python:3.11-slim
RUN useradd --system --uid 10001 --no-create-home verbatim
COPY --from=build /opt/verbatim /opt/verbatim
ENV PATH=/opt/verbatim/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    VERBATIM_HOST=0.0.0.0
USER 10001
EXPOSE 8000
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=5s --timeout=3s --start-period=20s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8000/readyz', timeout=2)"]
ENTRYPOINT ["verbatim"]
CMD ["serve"]
