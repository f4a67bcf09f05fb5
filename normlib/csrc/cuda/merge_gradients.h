// Gradients from the sums over parts.

#pragma once

#include "mixture.h"
#include "partials.h"

namespace normlib::cuda {

// Sums over one part of dy and of dy * (x - mean), the mean in the accumulation type.
template <typename A>
struct PartGradients {
  A grad, grad_x;
};

struct InstanceGradients {
  double grad, grad_x;
};

// Sums of one sample and channel about its exact mean, in all threads of its row and column; called
// by all threads. exists: whether this n and c do.
template <typename A>
__device__ __forceinline__ InstanceGradients merge_parts(const Problem& p,
                                                         const Partials<PartGradients<A>>& partials,
                                                         const MergePlace& place, int64_t n,
                                                         int64_t c, bool exists, double* shared) {
  double sums[2] = {};
  if (exists) {
    for (unsigned part = place.part_lane; part < partials.parts; part += place.part_lanes) {
      const PartGradients<A> gradients = partials.at(n, part, c);
      sums[0] += static_cast<double>(gradients.grad);
      sums[1] += static_cast<double>(gradients.grad_x);
    }
  }
  group_sum(sums, kMergeColumns, place.part_lanes, shared);
  if (!exists) return {};
  const double mean = instance_mean<A>(p, n, c);
  const double excess = static_cast<double>(static_cast<A>(mean)) - mean;
  return {sums[0], sums[1] + excess * sums[0]};
}

// Fills sums, channel_grad, dweight and dbias of kMergeColumns channels.
template <typename A>
__device__ __forceinline__ void merge_channel_gradients(const Problem& p,
                                                        const Partials<PartGradients<A>>& partials,
                                                        unsigned block, double* shared) {
  const MergePlace place(partials.parts);
  const int64_t c = int64_t{block} * kMergeColumns + place.column;
  const bool exists = c < p.channels;
  double totals[4] = {};  // of mean, var, weight and bias
  for (int64_t first = 0; first < p.samples; first += place.rows) {
    const int64_t n = first + place.row;
    const bool own = exists && n < p.samples;
    const InstanceGradients sums = merge_parts(p, partials, place, n, c, own, shared);
    if (!own || place.part_lane != 0) continue;
    A* const target = static_cast<A*>(p.sums) + 2 * (n * p.channels + c);
    target[0] = static_cast<A>(sums.grad);
    target[1] = static_cast<A>(sums.grad_x);
    const Mixture<A> mixture(p, n, c);
    const MixedGradient gradient =
        mixed_gradient(sums.grad, sums.grad_x, mixture.mixed, mixture.weight);
    totals[0] += gradient.mean;
    totals[1] += gradient.var;
    totals[2] += gradient.weight;
    totals[3] += sums.grad;
  }
  group_sum(totals, kMergeColumns, blockDim.x / kMergeColumns, shared);
  if (!exists || threadIdx.x >= kMergeColumns) return;
  p.channel_grad[c] = totals[0];
  p.channel_grad[p.channels + c] = totals[1];
  if (p.dweight != nullptr) static_cast<A*>(p.dweight)[c] = static_cast<A>(totals[2]);
  if (p.dbias != nullptr) static_cast<A*>(p.dbias)[c] = static_cast<A>(totals[3]);
}

// Fills layer_grad of one sample.
template <typename A>
__device__ __forceinline__ void merge_layer_gradients(const Problem& p,
                                                      const Partials<PartGradients<A>>& partials,
                                                      int64_t n, double* shared) {
  constexpr int kTotals = 7;
  const MergePlace place(partials.parts);
  double totals[kTotals] = {};
  for (int64_t first = 0; first < p.channels; first += place.rows * kMergeColumns) {
    const int64_t c = first + place.row * kMergeColumns + place.column;
    const bool own = c < p.channels;
    const InstanceGradients sums = merge_parts(p, partials, place, n, c, own, shared);
    if (!own || place.part_lane != 0) continue;
    const Mixture<A> mixture(p, n, c);
    const MixedGradient gradient =
        mixed_gradient(sums.grad, sums.grad_x, mixture.mixed, mixture.weight);
    const RatioGradient ratios = ratio_gradient(gradient, mixture.statistics);
    totals[0] += gradient.mean;
    totals[1] += gradient.var;
    totals[2] += ratios.layer_mean;
    totals[3] += ratios.batch_mean;
    totals[4] += ratios.var;
    totals[5] += ratios.layer_var;
    totals[6] += ratios.batch_var;
  }
  group_sum(totals, 1, blockDim.x, shared);
  if (threadIdx.x != 0) return;
#pragma unroll
  for (int i = 0; i < kTotals; ++i) p.layer_grad[kTotals * n + i] = totals[i];
}

}  // namespace normlib::cuda
