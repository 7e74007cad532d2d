# `genrec serve` from a bundle mounted at /bundle; docs/deployment.md says how to run it with a read-only root.
FROM python:3.11-slim AS build
WORKDIR /source
COPY constraints.txt ./
RUN python -m venv /opt/genrec
# torch first and alone: this layer is large, and changes with its version only. The other index has builds without CUDA.
RUN /opt/genrec/bin/pip install --no-cache-dir -c constraints.txt --extra-index-url https://download.pytorch.org/whl/cpu torch
COPY pyproject.toml README.md LICENSE ./
COPY conf conf
COPY genrec genrec
RUN /opt/genrec/bin/pip install --no-cache-dir -c constraints.txt ".[serve]"

FROM python:3.11-slim
RUN useradd --uid 10001 --no-create-home genrec && install --directory --owner=genrec /state
COPY --from=build /opt/genrec /opt/genrec
ENV PATH=/opt/genrec/bin:$PATH HOME=/tmp PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 10001
VOLUME /state
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/healthz', timeout=2)"]
ENTRYPOINT ["genrec", "serve", "/bundle", "--host", "0.0.0.0", "--state-dir", "/state"]
