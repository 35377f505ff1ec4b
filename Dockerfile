# EmberFormer with its workflow and all it needs: `docker build -t emberformer .`, or, without CUDA's libraries,
# `docker build --build-arg TORCH_INDEX=https://download.pytorch.org/whl/cpu -t emberformer:cpu .` (docs/as-a-module.md).
ARG PYTHON=3.11.14-slim-bookworm

FROM python:${PYTHON} AS build
# Where PyTorch's wheel comes from. PyPI's brings the CUDA libraries; all else is PyPI's in any case.
ARG TORCH_INDEX=https://pypi.org/simple
ARG EXTRAS=slurm,kubernetes,s3,video
# git tells the version, from .git in the build context.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends git=1:2.* \
    && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/emberformer
ENV PATH=/opt/emberformer/bin:$PATH
WORKDIR /source
COPY constraints.txt .
RUN grep '^torch==' constraints.txt > /tmp/torch.txt \
    && pip install --no-cache-dir --no-deps --index-url "${TORCH_INDEX}" --requirement /tmp/torch.txt
COPY . .
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /tmp/wheels . \
    && echo "$(ls /tmp/wheels/*.whl)[${EXTRAS}]" > /tmp/emberformer.txt \
    && pip install --no-cache-dir --constraint constraints.txt --requirement /tmp/emberformer.txt

FROM python:${PYTHON}
ARG VERSION=unknown
ARG REVISION=unknown
LABEL org.opencontainers.image.title="EmberFormer" \
      org.opencontainers.image.description="Forecasts of wildfire spread from cached DINOv2 features" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
# The one library that a wheel (rasterio's) takes from the system and this image may lack.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libexpat1=2.* \
    && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/emberformer /opt/emberformer
# Snakemake, matplotlib and the Hub keep caches in the home folder, also under another identity (`--user`).
ENV PATH=/opt/emberformer/bin:$PATH \
    HOME=/home/ember
RUN useradd --create-home --home-dir /home/ember --uid 1000 ember \
    && chmod 0777 /home/ember \
    && install --directory --owner=ember --group=ember /work
USER 1000
WORKDIR /work
ENTRYPOINT ["emberformer"]
CMD ["--help"]
