# One image for every process of ours: server, worker, beat, flower, migrate and the commands. compose.yaml says which is which.

# The same commit gives the same image where the base is named by its digest and times are the commit's (docs/deploying.md).
ARG PYTHON=python:3.13-slim

FROM ${PYTHON} AS build

ARG SOURCE_DATE_EPOCH

# Only what the locks name and their hashes confirm is installed, and only as wheels: nothing is compiled here.
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_DEPS=1 PIP_ONLY_BINARY=:all: PIP_ROOT_USER_ACTION=ignore \
    PIP_NO_COMPILE=1

WORKDIR /build

# What changes seldom comes first, so that a change of our code builds the last layers only.
COPY requirements/prod.lock requirements/build.lock requirements/
RUN pip install --require-hashes -r requirements/build.lock
# Without pip of its own, so that the environment that is shipped can install nothing.
RUN python -m venv --without-pip /opt/noteflow-hooks
RUN pip --python /opt/noteflow-hooks/bin/python install --require-hashes -r requirements/prod.lock

COPY pyproject.toml README.md ./
COPY noteflow_hooks noteflow_hooks
COPY workers workers
COPY migrations migrations
COPY client client
RUN pip wheel --no-build-isolation --no-index --wheel-dir dist . ./client
RUN pip --python /opt/noteflow-hooks/bin/python install --no-index dist/*.whl
# Bytecode that is valid by itself: what pip writes holds the time at which each file was unpacked.
RUN /opt/noteflow-hooks/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/noteflow-hooks/lib


FROM ${PYTHON}

# The new user's entries hold a day: useradd takes it from here.
ARG SOURCE_DATE_EPOCH

# Logs come out line by line. The bytecode was written when the image was built; at run time nothing is.
ENV PATH=/opt/noteflow-hooks/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1

COPY --from=build /opt/noteflow-hooks /opt/noteflow-hooks

# An empty folder: the settings read a .env where they start, and Celery imports from there first.
WORKDIR /srv/noteflow-hooks

# With a name, since Celery takes a user whose group has none for root; by number, since Kubernetes can't tell who a name is.
RUN groupadd --gid 10001 noteflow \
    && useradd --uid 10001 --gid 10001 --no-create-home --shell /usr/sbin/nologin noteflow
USER 10001:10001

# The server finishes its calls, a worker its POSTs.
STOPSIGNAL SIGTERM

# Every command is written out where it is used; nothing is put in front of it.
ENTRYPOINT []
CMD ["noteflow-hooks", "serve"]
