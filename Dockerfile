# A server for many visitors; docs/hosting.md says what can be set, and what of this was tested.
FROM python:3.11-slim

RUN useradd --create-home --uid 1000 samenet
WORKDIR /app

# Before the code, so that a change of the code does not install everything again.
COPY requirements.txt .
RUN pip install --no-cache-dir --no-compile -r requirements.txt && python -m compileall -q /usr/local/lib

COPY . .
RUN python -m compileall -q core ui pages app.py
USER 1000
ENV PYTHONUNBUFFERED=1 \
    MALLOC_ARENA_MAX=1 \
    STREAMLIT_SERVER_ADDRESS=0.0.0.0 \
    STREAMLIT_SERVER_PORT=8501 \
    STREAMLIT_SERVER_HEADLESS=true

# What the first run needs, compiled for the processor that builds: for servers of its kind only.
# --build-arg COMPILED=0 leaves it out, and each server compiles at its first start.
ARG COMPILED=1
RUN mkdir -p ~/.cache/samenet && if [ "$COMPILED" = 1 ]; then PYTHONPATH=. python scripts/compile_ahead.py; fi

EXPOSE 8501
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8501/_stcore/health', timeout=4)"]
# exec form: Docker's SIGTERM reaches the server, which ends its runs and exits with 0
CMD ["streamlit", "run", "app.py"]
