#!/bin/sh
# In a build stage: installs LIST into FOLDER, leaving out what /opt/venv holds already, and what nothing runs.
# GPU=1 adds the CUDA libraries that TensorFlow's wheels look for. Usage: install.sh FOLDER LIST
set -eu
if [ "${GPU:-0}" = 1 ]; then
  sed -i -E 's/^tensorflow( .*)?$/tensorflow[and-cuda]/' "$2"
  cat /build/gpu.txt >> /build/requirements.txt
fi
/opt/pip/bin/pip --python /opt/venv/bin/python install --quiet --prefix "$1" -c /build/requirements.txt -r "$2"

# The large packages' own tests (100 MB in each image), and what compiles against TensorFlow and Arrow.
# Libraries are not stripped: those that auditwheel has edited may not survive it.
cd "$1"/lib/python3*/site-packages
for package in numpy scipy pandas pyarrow gensim matplotlib; do
  [ ! -d "$package" ] || find "$package" -type d \( -name tests -o -name test \) -prune -exec rm -rf {} +
done
rm -rf tensorflow/include pyarrow/include clang
