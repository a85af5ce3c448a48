# docker build -t strangler .
# docker run -p 8080:8080 -v ./routes.yaml:/config/routes.yaml:ro -v ./flags:/config/flags -v strangler-state:/state strangler

# Not the slim one: it has the C compiler that hatch_build.py needs.
FROM python:3.13 AS build
WORKDIR /src
# otel: with what exports spans (docs/tracing.md)
ARG REQUIREMENTS=runtime
RUN python -m venv /opt/strangler
COPY requirements/build.txt requirements/runtime.txt requirements/otel.txt requirements/
RUN python -m venv /opt/build \
 && /opt/build/bin/pip install --no-cache-dir --require-hashes --no-deps -r requirements/build.txt \
 && /opt/strangler/bin/pip install --no-cache-dir --require-hashes --no-deps --only-binary :all: -r requirements/${REQUIREMENTS}.txt
COPY . .
RUN STRANGLER_NATIVE=1 /opt/build/bin/pip wheel --no-cache-dir --no-deps --no-build-isolation --wheel-dir /wheels . \
 && /opt/strangler/bin/pip install --no-cache-dir --no-deps --no-index /wheels/*.whl \
 && /opt/strangler/bin/python -m compileall -q /opt/strangler/lib \
 && /opt/strangler/bin/pip uninstall --yes --quiet pip

FROM python:3.13-slim
RUN useradd --system --uid 10001 --home-dir /state --create-home strangler \
 && mkdir /config && chown strangler /config
COPY --from=build /opt/strangler /opt/strangler
ENV PATH=/opt/strangler/bin:$PATH PYTHONUNBUFFERED=1 STRANGLER_STATE=/state
WORKDIR /config
VOLUME /state
USER strangler
EXPOSE 8080 9001
# /readyz: at least one worker carries traffic with a whole configuration.
HEALTHCHECK --interval=10s --timeout=3s --start-period=30s CMD \
    ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:9001/readyz', timeout=2)"]
ENTRYPOINT ["strangler"]
CMD ["serve", "--listen", "0.0.0.0:8080", "--ops", "0.0.0.0:9001", "--access-log", "-"]
