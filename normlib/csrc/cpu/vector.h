// SIMD vectors of the instruction set this file is compiled for, and conversion of the data types.
// AVX2 stands for AVX2, FMA and F16C, and AVX512DQ for these and AVX-512 F, VL, BW and DQ.

#pragma once

#include <cstdint>
#include <cstring>
#include <utility>

#if defined(__SSE2__)
#include <immintrin.h>
#endif

// Everything compiled per instruction set lives in a namespace of its own.
#define NORMLIB_BEGIN namespace normlib::cpu::NORMLIB_ISA {
#define NORMLIB_END }

// For what takes lambdas: called, they would fetch all that they refer to anew for every vector.
#define NORMLIB_INLINED inline __attribute__((always_inline))

NORMLIB_BEGIN

#if defined(__AVX512DQ__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

template <typename A>
constexpr int kLanes = kVectorBytes / static_cast<int>(sizeof(A));

template <typename A>
struct VectorOf;
template <>
struct VectorOf<float> {
  typedef float type __attribute__((vector_size(kVectorBytes)));
  typedef int32_t mask __attribute__((vector_size(kVectorBytes)));
  typedef uint16_t half __attribute__((vector_size(kVectorBytes / 2)));
  using lane = int32_t;
};
template <>
struct VectorOf<double> {
  typedef double type __attribute__((vector_size(kVectorBytes)));
  typedef int64_t mask __attribute__((vector_size(kVectorBytes)));
  using lane = int64_t;
};
template <typename A>
using Vector = typename VectorOf<A>::type;
template <typename A>
using Mask = typename VectorOf<A>::mask;  // lanes of all ones or zeros

struct Half {
  uint16_t bits;
};
struct BFloat16 {
  uint16_t bits;
};

// float for everything but double.
template <typename T>
struct AccumulateOf {
  using type = float;
};
template <>
struct AccumulateOf<double> {
  using type = double;
};
template <typename T>
using Accumulate = typename AccumulateOf<T>::type;

// Calls f(0) to f(count - 1) without a loop, which leaves arrays that f indexes in registers.
template <typename F, int... k>
NORMLIB_INLINED void unrolled(F&& f, std::integer_sequence<int, k...>) {
  (f(k), ...);
}
template <int count, typename F>
NORMLIB_INLINED void unrolled(F&& f) {
  unrolled(f, std::make_integer_sequence<int, count>{});
}

// An array on the heap. What the standard library has would be one function for all instruction
// sets, in the one of whichever comes first.
class Doubles {
 public:
  explicit Doubles(int64_t count) : data_(new double[static_cast<size_t>(count)]) {}
  Doubles(const Doubles&) = delete;
  Doubles& operator=(Doubles&& other) {
    std::swap(data_, other.data_);
    return *this;
  }
  ~Doubles() { delete[] data_; }
  double* get() const { return data_; }

 private:
  double* data_;
};

template <typename To, typename From>
inline To bit_cast(const From& from) {
  static_assert(sizeof(To) == sizeof(From));
  To to;
  std::memcpy(&to, &from, sizeof to);
  return to;
}

// --- One value ----------------------------------------------------------------------------------

inline float widen(float x) { return x; }
inline double widen(double x) { return x; }
inline float widen(BFloat16 x) { return bit_cast<float>(uint32_t{x.bits} << 16); }
inline float widen(Half x) {
#if defined(__AVX2__)
  return _cvtsh_ss(x.bits);
#else
  // The exponent is moved by 112 through a product, which also normalises subnormal numbers.
  const uint32_t sign = uint32_t{x.bits & 0x8000u} << 16;
  const uint32_t rest = uint32_t{x.bits & 0x7fffu} << 13;
  const bool finite = (x.bits & 0x7c00u) != 0x7c00u;
  const float scaled = bit_cast<float>(rest) * bit_cast<float>(uint32_t{0x77800000});
  return bit_cast<float>(sign | (finite ? bit_cast<uint32_t>(scaled) : rest | 0x7f800000u));
#endif
}

template <typename T>
inline T narrow(Accumulate<T> x);
template <>
inline float narrow<float>(float x) {
  return x;
}
template <>
inline double narrow<double>(double x) {
  return x;
}
template <>
inline BFloat16 narrow<BFloat16>(float x) {
  const uint32_t bits = bit_cast<uint32_t>(x);
  if (x != x) return {static_cast<uint16_t>((bits >> 16) | 0x40u)};
  return {static_cast<uint16_t>((bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16)};
}
template <>
inline Half narrow<Half>(float x) {
#if defined(__AVX2__)
  return {_cvtss_sh(x, _MM_FROUND_TO_NEAREST_INT)};
#else
  const uint32_t bits = bit_cast<uint32_t>(x);
  const uint32_t sign = (bits >> 16) & 0x8000u;
  const uint32_t rest = bits & 0x7fffffffu;
  if (rest > 0x7f800000u) return {static_cast<uint16_t>(sign | 0x7e00u)};
  if (rest >= 0x477ff000u) return {static_cast<uint16_t>(sign | 0x7c00u)};
  if (rest < 0x38800000u) {  // subnormal: the addition rounds to a multiple of 2^-24
    const float rounded = bit_cast<float>(rest) + 0.5f;
    return {static_cast<uint16_t>(sign | (bit_cast<uint32_t>(rounded) - 0x3f000000u))};
  }
  const uint32_t even = (rest >> 13) & 1u;
  return {static_cast<uint16_t>(sign | ((rest - 0x38000000u + 0xfffu + even) >> 13))};
#endif
}

// --- A vector of values --------------------------------------------------------------------------

template <typename A>
inline Vector<A> broadcast(A x) {
  return Vector<A>{} + x;
}

template <typename V, typename T>
inline V load_bits(const T* from) {
  static_assert(sizeof(V) % sizeof(T) == 0);
  V v;
  std::memcpy(&v, from, sizeof v);
  return v;
}

inline Vector<float> load(const float* x) { return load_bits<Vector<float>>(x); }
inline Vector<double> load(const double* x) { return load_bits<Vector<double>>(x); }
inline Vector<float> load(const BFloat16* x) {
  const auto half = load_bits<VectorOf<float>::half>(x);
  return bit_cast<Vector<float>>(__builtin_convertvector(half, Mask<float>) << 16);
}
inline Vector<float> load(const Half* x) {
#if defined(__AVX512DQ__)
  return bit_cast<Vector<float>>(_mm512_cvtph_ps(load_bits<__m256i>(x)));
#elif defined(__AVX2__)
  return bit_cast<Vector<float>>(_mm256_cvtph_ps(load_bits<__m128i>(x)));
#else
  Vector<float> v;
  for (int i = 0; i < kLanes<float>; ++i) v[i] = widen(x[i]);
  return v;
#endif
}

// Written so that GCC 12 compiles it, at every level of optimisation.
#if defined(__AVX512DQ__)
inline Mask<float> mask_of(__mmask16 bits) { return bit_cast<Mask<float>>(_mm512_movm_epi32(bits)); }
inline Mask<double> mask_of(__mmask8 bits) { return bit_cast<Mask<double>>(_mm512_movm_epi64(bits)); }

inline Mask<float> passes_relu(Vector<float> v) {
  return mask_of(_mm512_cmp_ps_mask(bit_cast<__m512>(v), _mm512_setzero_ps(), _CMP_NLE_UQ));
}
inline Mask<double> passes_relu(Vector<double> v) {
  return mask_of(_mm512_cmp_pd_mask(bit_cast<__m512d>(v), _mm512_setzero_pd(), _CMP_NLE_UQ));
}
inline Mask<float> is_nan(Vector<float> v) {
  const __m512 all = bit_cast<__m512>(v);
  return mask_of(_mm512_cmp_ps_mask(all, all, _CMP_UNORD_Q));
}
#else
inline Mask<float> passes_relu(Vector<float> v) { return (v > 0) | (v != v); }
inline Mask<double> passes_relu(Vector<double> v) { return (v > 0) | (v != v); }
inline Mask<float> is_nan(Vector<float> v) { return v != v; }
#endif
// Positive, or NaN.
inline bool passes_relu(float x) { return !(x <= 0); }
inline bool passes_relu(double x) { return !(x <= 0); }

// How a result leaves: to where it is soon found again, or past the caches, which spares the memory
// a read of what is overwritten and leaves the caches to the input. The latter takes an address that
// is a multiple of the bytes stored, and is_streamable tells.
enum class Store { cached, streamed };

template <Store how, typename T, typename V>
inline void store_bits(T* to, V v) {
#if defined(__SSE2__)
  if constexpr (how == Store::streamed) {
#if defined(__AVX512DQ__)
    if constexpr (sizeof(V) == 64) {
      return _mm512_stream_si512(reinterpret_cast<__m512i*>(to), bit_cast<__m512i>(v));
    }
#endif
#if defined(__AVX2__)
    if constexpr (sizeof(V) == 32) {
      return _mm256_stream_si256(reinterpret_cast<__m256i*>(to), bit_cast<__m256i>(v));
    }
#endif
    if constexpr (sizeof(V) == 16) {
      return _mm_stream_si128(reinterpret_cast<__m128i*>(to), bit_cast<__m128i>(v));
    }
  }
#endif
  std::memcpy(to, &v, sizeof v);
}

template <typename T>
inline bool is_streamable(const T* to) {
  return reinterpret_cast<uintptr_t>(to) % (kLanes<Accumulate<T>> * sizeof(T)) == 0;
}

// Orders what was streamed before what the thread stores next.
inline void finish_streams() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

template <Store how = Store::cached>
inline void store(float* y, Vector<float> v) {
  store_bits<how>(y, v);
}
template <Store how = Store::cached>
inline void store(double* y, Vector<double> v) {
  store_bits<how>(y, v);
}
template <Store how = Store::cached>
inline void store(BFloat16* y, Vector<float> v) {
  const Mask<float> bits = bit_cast<Mask<float>>(v);
  const Mask<float> nan = is_nan(v);
  const Mask<float> rounded = bits + 0x7fff + ((bits >> 16) & 1);
  const Mask<float> kept = (nan & (bits | 0x400000)) | (~nan & rounded);
  store_bits<how>(y, __builtin_convertvector((kept >> 16) & 0xffff, VectorOf<float>::half));
}
template <Store how = Store::cached>
inline void store(Half* y, Vector<float> v) {
#if defined(__AVX512DQ__)
  store_bits<how>(y, _mm512_cvtps_ph(bit_cast<__m512>(v), _MM_FROUND_TO_NEAREST_INT));
#elif defined(__AVX2__)
  store_bits<how>(y, _mm256_cvtps_ph(bit_cast<__m256>(v), _MM_FROUND_TO_NEAREST_INT));
#else
  for (int i = 0; i < kLanes<float>; ++i) y[i] = narrow<Half>(v[i]);
#endif
}

#if defined(__AVX512DQ__)
inline float sum(Vector<float> v) { return _mm512_reduce_add_ps(bit_cast<__m512>(v)); }
inline double sum(Vector<double> v) { return _mm512_reduce_add_pd(bit_cast<__m512d>(v)); }
#elif defined(__AVX2__)
inline float sum(Vector<float> v) {
  const __m256 all = bit_cast<__m256>(v);
  __m128 s = _mm_add_ps(_mm256_castps256_ps128(all), _mm256_extractf128_ps(all, 1));
  s = _mm_add_ps(s, _mm_movehl_ps(s, s));
  return _mm_cvtss_f32(_mm_add_ss(s, _mm_movehdup_ps(s)));
}
inline double sum(Vector<double> v) {
  const __m256d all = bit_cast<__m256d>(v);
  const __m128d s = _mm_add_pd(_mm256_castpd256_pd128(all), _mm256_extractf128_pd(all, 1));
  return _mm_cvtsd_f64(_mm_add_sd(s, _mm_unpackhi_pd(s, s)));
}
#else
inline float sum(Vector<float> v) { return (v[0] + v[1]) + (v[2] + v[3]); }
inline double sum(Vector<double> v) { return v[0] + v[1]; }
#endif

// The sums of four vectors.
template <typename A>
struct Four {
  A of[4];
};
#if defined(__AVX2__) && !defined(__AVX512DQ__)
inline Four<float> sums(Vector<float> a, Vector<float> b, Vector<float> c, Vector<float> d) {
  const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(bit_cast<__m256>(a), bit_cast<__m256>(b)),
                                      _mm256_hadd_ps(bit_cast<__m256>(c), bit_cast<__m256>(d)));
  return bit_cast<Four<float>>(
      _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
}
inline Four<double> sums(Vector<double> a, Vector<double> b, Vector<double> c, Vector<double> d) {
  return {{sum(a), sum(b), sum(c), sum(d)}};
}
#else
template <typename V>
inline auto sums(V a, V b, V c, V d) -> Four<decltype(sum(a))> {
  return {{sum(a), sum(b), sum(c), sum(d)}};
}
#endif

// `v` where the mask is set, 0 elsewhere.
template <typename A>
inline Vector<A> where(Mask<A> mask, Vector<A> v) {
  return bit_cast<Vector<A>>(mask & bit_cast<Mask<A>>(v));
}

// --- One bit an element -------------------------------------------------------------------------

// The mask of elements i to i + kLanes of a row; i is a multiple of kLanes.
#if defined(__AVX512DQ__)
template <typename A>
inline Mask<A> load_mask(const uint8_t* row, int64_t i) {
  if constexpr (sizeof(A) == 4) {
    __mmask16 word;
    std::memcpy(&word, row + i / 8, sizeof word);
    return mask_of(word);
  } else {
    return mask_of(static_cast<__mmask8>(row[i / 8]));
  }
}
#else
template <typename A>
inline Mask<A> load_mask(const uint8_t* row, int64_t i) {
  using Lane = typename VectorOf<A>::lane;
  Mask<A> lanes{};
  for (int k = 0; k < kLanes<A>; ++k) lanes[k] = Lane{1} << k;
  return ((Mask<A>{} + static_cast<Lane>(row[i / 8] >> (i % 8))) & lanes) != 0;
}
#endif

inline bool load_mask_bit(const uint8_t* row, int64_t i) { return (row[i / 8] >> (i % 8)) & 1; }

inline void store_mask_bit(uint8_t* row, int64_t i, bool set) {
  if (i % 8 == 0) row[i / 8] = 0;
  row[i / 8] |= static_cast<uint8_t>(set << (i % 8));
}

// Bits have to be stored in ascending order: the first of a byte clears the others.
template <typename A>
inline void store_mask(uint8_t* row, int64_t i, Mask<A> mask) {
#if defined(__AVX512DQ__)
  if constexpr (sizeof(A) == 4) {
    const uint16_t word = _mm512_movepi32_mask(bit_cast<__m512i>(mask));
    std::memcpy(row + i / 8, &word, sizeof word);
  } else {
    row[i / 8] = _mm512_movepi64_mask(bit_cast<__m512i>(mask));
  }
#elif defined(__AVX2__)
  const int bits = sizeof(A) == 4 ? _mm256_movemask_ps(bit_cast<__m256>(mask))
                                  : _mm256_movemask_pd(bit_cast<__m256d>(mask));
  const auto byte = static_cast<uint8_t>(bits << (i % 8));
  row[i / 8] = i % 8 == 0 ? byte : row[i / 8] | byte;
#else
  for (int k = 0; k < kLanes<A>; ++k) store_mask_bit(row, i + k, mask[k] != 0);
#endif
}

NORMLIB_END
