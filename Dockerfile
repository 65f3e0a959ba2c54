# trm with what it needs, for a processor or for NVIDIA GPUs:
#   docker build -t trm .
#   docker build -t trm --build-arg BASE=python:3.11-slim .
#   docker run --gpus all -v "$PWD:/work" trm train sudoku-4x4
# The driver is the host's; CUDA itself comes with torch.
ARG BASE=python:3.13-slim
FROM ${BASE}

# torch.compile and triton call a compiler.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends gcc g++ \
    && rm -rf /var/lib/apt/lists/*

# The index of torch's packages for processors makes a smaller image: PIP_OPTIONS="--extra-index-url ...".
ARG PIP_OPTIONS=
COPY . /opt/trm
RUN pip install --no-cache-dir ${PIP_OPTIONS} "/opt/trm[plot,tensorboard,text]" && rm -rf /opt/trm

# Runs, datasets and caches lie in the folder that is mounted, and belong to whoever runs the container.
WORKDIR /work
ENV HOME=/work NUMBA_CACHE_DIR=/tmp/numba
ENTRYPOINT ["trm"]
CMD ["--help"]
