# One image for every tier: `docker run IMAGE tier --path root`. Any Debian with Python 3.11 or later will do as a base.
ARG BASE=python:3.11-slim-bookworm

FROM ${BASE} AS build
WORKDIR /src
RUN python -m venv /opt/ote
# Versions are those of the lock; it also holds what only developers need, which stays out.
COPY requirements.lock ./
RUN sed -E '/--hash=/d; s/ \\$//' requirements.lock > constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY bus ./bus
COPY store ./store
COPY leafnodes ./leafnodes
COPY services ./services
RUN /opt/ote/bin/pip install --no-cache-dir --disable-pip-version-check --constraint constraints.txt '.[uvloop]'

FROM ${BASE}
RUN useradd --system --uid 10001 --home-dir /var/lib/ote --create-home ote
COPY --from=build /opt/ote /opt/ote
ENV PATH=/opt/ote/bin:$PATH PYTHONUNBUFFERED=1 \
    OTE_TIER_STATE=/var/lib/ote OTE_TIER_HOST=0.0.0.0 OTE_TIER_PORT=4222 OTE_TIER_LEAF_PORT=7422 OTE_TIER_RELAY_PORT=7423
USER ote
WORKDIR /var/lib/ote
VOLUME /var/lib/ote
EXPOSE 4222 7422 7423
# A tier that answers is a tier that works; it has OTE_SERVER to be asked by.
HEALTHCHECK --interval=10s --timeout=8s --start-period=30s --retries=3 CMD ["ote", "status", "--output", "name"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["ote"]
CMD ["--help"]
