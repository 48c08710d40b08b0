#include "common.h"

#define HOUR 3600.0f
#define DAY 86400.0f

/* Vectors of a batch of requests: see query_tower.QueryTower. */
WIDEST void query(
    int64_t batch, int64_t length, int64_t places, int64_t size, int64_t attributes, int64_t units,
    const int32_t *associate, const int32_t *attribute, /* (batch), (batch, attributes) */
    const int32_t *history, const double *age,          /* (batch, length), -1 pads; seconds */
    const uint8_t *known,                               /* (pages) */
    const float *of_page, const float *of_associate, const float *of_attribute, /* (., size) */
    const float *position, float older,                                         /* (places) */
    const float *hidden, const float *hidden_bias, /* (4 * size + 3, units), (units) */
    const float *output, const float *output_bias, /* (units, size), (size) */
    float *work,    /* 4 * size + 3 + units */
    float *found) { /* out (batch, size) */
  const int64_t inputs = 4 * size + 3;
  float *mean = work, *latest = mean + size, *own = latest + size, *of_id = own + size, *sizes = of_id + size;
  float *layer = work + inputs;
  for (int64_t b = 0; b < batch; b++) {
    float *to = found + b * size, whole = 0, count = 0, since = 0;
    memset(work, 0, (size_t)inputs * sizeof(float));
    for (int64_t j = 0; j < length && j < places; j++) {
      const int32_t page = history[b * length + j];
      if (page < 0 || !known[page]) continue;
      const double seconds = age[b * length + j];
      const float ago = (float)(seconds > 0 ? seconds : 0), *vector = of_page + page * size;
      const float weight = expf(position[j] - older * log1pf(ago / HOUR));
      if (count++ == 0) {
        memcpy(latest, vector, (size_t)size * sizeof(float));
        since = log1pf(ago / DAY);
      }
      whole += weight;
      for (int64_t d = 0; d < size; d++) mean[d] += weight * vector[d];
    }
    const float share = whole > 1e-12f ? whole : 1e-12f;
    for (int64_t d = 0; d < size; d++) mean[d] /= share;
    for (int64_t a = 0; a < attributes; a++)
      for (int64_t d = 0; d < size; d++) own[d] += of_attribute[attribute[b * attributes + a] * size + d];
    memcpy(of_id, of_associate + associate[b] * size, (size_t)size * sizeof(float));
    sizes[0] = count > 0, sizes[1] = log1pf(count), sizes[2] = since;

    memcpy(layer, hidden_bias, (size_t)units * sizeof(float));
    for (int64_t i = 0; i < inputs; i++)
      for (int64_t u = 0; u < units; u++) layer[u] += work[i] * hidden[i * units + u];
    for (int64_t d = 0; d < size; d++) to[d] = mean[d] + output_bias[d];
    for (int64_t u = 0; u < units; u++)
      if (layer[u] > 0)
        for (int64_t d = 0; d < size; d++) to[d] += layer[u] * output[u * size + d];
    float square = 0;
    for (int64_t d = 0; d < size; d++) square += to[d] * to[d];
    const float norm = sqrtf(square > 1e-12f ? square : 1e-12f);
    for (int64_t d = 0; d < size; d++) to[d] /= norm;
  }
}
