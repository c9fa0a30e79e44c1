// MIT License
//
// Copyright (c) 2026 CLNF Studio contributors
//
// Permission is hereby granted, free of charge, to any person obtaining a copy
// of this software and associated documentation files (the "Software"), to deal
// in the Software without restriction, including without limitation the rights
// to use, copy, modify, merge, publish, distribute, sublicense, and/or sell
// copies of the Software, and to permit persons to whom the Software is
// furnished to do so, subject to the following conditions:
//
// The above copyright notice and this permission notice shall be included in all
// copies or substantial portions of the Software.
//
// THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR
// IMPLIED, INCLUDING BUT NOT LIMITED TO THE WARRANTIES OF MERCHANTABILITY,
// FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE
// AUTHORS OR COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER
// LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR OTHERWISE, ARISING FROM,
// OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE
// SOFTWARE.

// Records the fits of a CLNF port, step by step, for CLNF Studio. Copy this one file into the port.
//
// C++17, header only, nothing but the standard library. How to use it is told in docs/recorders.md of CLNF Studio, what
// every value means in docs/trace-format.md.
//
//     clnf::Recorder rec("run");                    // every fit becomes a folder: run, run_2, run_3 ...
//     rec.begin(gray, params);
//     rec.stage({{"window", 11}, {"scale", 0.25}, {"view", 0}, {"sigma", 1.5}, {"reg_factor", 25}});
//     rec.map(i, "final", response);                // of landmark i; or of all: rec.maps("final", responses)
//     rec.put("jacobian", J);                       // of the iteration that is being computed
//     rec.put("params", params);
//     rec.iteration("rigid");
//     rec.end();
#ifndef CLNF_RECORDER_HPP
#define CLNF_RECORDER_HPP

#include <algorithm>
#include <array>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <limits>
#include <map>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>
#ifdef _WIN32
#include <direct.h>
#else
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <chrono>
#endif

namespace clnf {

/// A mistake in calling the recorder, or a folder that cannot be written, in one sentence.
struct RecorderError : std::runtime_error {
    using std::runtime_error::runtime_error;
};

// --- arrays ----------------------------------------------------------------------------------------

namespace detail {

using Shape = std::vector<std::size_t>;

template <class T>
constexpr char kind_of() {
    using U = std::remove_cv_t<T>;
    static_assert(std::is_arithmetic_v<U>, "clnf_recorder: expected an array of numbers");
    return std::is_same_v<U, bool> ? 'b' : std::is_floating_point_v<U> ? 'f' : std::is_signed_v<U> ? 'i' : 'u';
}

template <class M, class = void>
struct is_mat : std::false_type {};  // cv::Mat, cv::Mat_
template <class M>
struct is_mat<M, std::void_t<decltype(std::declval<const M&>().depth()), decltype(std::declval<const M&>().channels()),
                             decltype(std::declval<const M&>().dims), decltype(std::declval<const M&>().step[0])>>
    : std::true_type {};

template <class M, class = void>
struct is_matx : std::false_type {};  // cv::Matx, cv::Vec, cv::Scalar
template <class M>
struct is_matx<M, std::void_t<decltype(std::declval<const M&>().val[0]), decltype(int(M::rows)), decltype(int(M::cols))>>
    : std::true_type {};

template <class M, class = void>
struct is_eigen : std::false_type {};  // Eigen::Matrix, Array, Map, Block
template <class M>
struct is_eigen<M, std::void_t<decltype(std::declval<const M&>().innerStride()), typename M::Scalar,
                               decltype(std::declval<const M&>().data())>> : std::true_type {};

template <class M, class = void>
struct is_matexpr : std::false_type {};  // cv::MatExpr, such as J.t()
template <class M>
struct is_matexpr<M, std::void_t<decltype(std::declval<const M&>().op), decltype(std::declval<const M&>().alpha)>>
    : is_mat<std::decay_t<decltype(std::declval<const M&>().a)>> {};

template <class M, class = void>
struct is_eigenexpr : std::false_type {};  // Eigen's expressions, such as J.transpose() * W
template <class M>
struct is_eigenexpr<M, std::void_t<decltype(std::declval<const M&>().eval().innerStride()), typename M::Scalar>>
    : std::bool_constant<!is_eigen<M>::value> {};

template <class M, class = void>
struct is_vector : std::false_type {};  // std::vector, std::array, std::span
template <class M>
struct is_vector<M, std::enable_if_t<std::is_arithmetic_v<std::remove_reference_t<
                        decltype(*std::declval<const M&>().data())>>,
                    std::void_t<decltype(std::size_t(std::declval<const M&>().size()))>>>
    : std::bool_constant<!is_eigen<M>::value> {};

}  // namespace detail

/// Numbers that lie somewhere in memory: pointer, shape and strides. It is made of matrices of OpenCV and Eigen, of
/// std::vector, std::array and C arrays, of a number, of {x, y}, or of a pointer. It copies nothing: what it is made of
/// must live as long. (Of an expression such as J.t() it holds the result.)
class View {
public:
    /// `strides` are in numbers, not bytes; without them rows follow each other.
    template <class T>
    View(const T* data, detail::Shape shape, std::vector<std::ptrdiff_t> strides = {})
        : data_(reinterpret_cast<const unsigned char*>(data)), kind_(detail::kind_of<T>()), size_(sizeof(T)),
          shape_(std::move(shape)) {
        if (strides.empty()) {
            strides.assign(shape_.size(), 1);
            for (std::size_t k = shape_.size(); k-- > 1;) strides[k - 1] = strides[k] * std::ptrdiff_t(shape_[k]);
        }
        strides.resize(shape_.size(), 0);
        for (std::ptrdiff_t one : strides) strides_.push_back(one * std::ptrdiff_t(sizeof(T)));
    }

    template <class T, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
    View(const T& number) : View(&number, detail::Shape{}) {}

    View(std::initializer_list<double> numbers) : View(numbers.begin(), {numbers.size()}) {}

    template <class T, std::size_t N, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
    View(const T (&row)[N]) : View(&row[0], {N}) {}

    template <class T, std::size_t N, std::size_t M, std::enable_if_t<std::is_arithmetic_v<T>, int> = 0>
    View(const T (&rows)[N][M]) : View(&rows[0][0], {N, M}) {}

    template <class M, std::enable_if_t<detail::is_vector<M>::value, int> = 0>
    View(const M& numbers) : View(numbers.data(), {std::size_t(numbers.size())}) {}

    template <class M, std::enable_if_t<detail::is_matx<M>::value, int> = 0>
    View(const M& matrix) : View(&matrix.val[0], {std::size_t(int(M::rows)), std::size_t(int(M::cols))}) {}

    template <class M, std::enable_if_t<detail::is_eigen<M>::value, int> = 0>
    View(const M& matrix)
        : View(matrix.data(), {std::size_t(matrix.rows()), std::size_t(matrix.cols())},
               M::IsRowMajor ? std::vector<std::ptrdiff_t>{matrix.outerStride(), matrix.innerStride()}
                             : std::vector<std::ptrdiff_t>{matrix.innerStride(), matrix.outerStride()}) {}

    template <class M, std::enable_if_t<detail::is_mat<M>::value, int> = 0>
    View(const M& matrix) : data_(matrix.data) {
        static constexpr char kinds[] = {'u', 'i', 'u', 'i', 'i', 'f', 'f', 'f'};
        static constexpr unsigned char sizes[] = {1, 1, 2, 2, 4, 4, 8, 2};
        kind_ = kinds[matrix.depth() & 7];
        size_ = sizes[matrix.depth() & 7];
        for (int k = 0; data_ != nullptr && k < matrix.dims; ++k) {
            shape_.push_back(std::size_t(matrix.dims == 2 ? (k == 0 ? matrix.rows : matrix.cols) : matrix.size[k]));
            strides_.push_back(std::ptrdiff_t(matrix.step[k]));
        }
        if (matrix.channels() > 1) {
            shape_.push_back(std::size_t(matrix.channels()));
            strides_.push_back(std::ptrdiff_t(size_));
        }
        if (data_ == nullptr) shape_ = {0}, strides_ = {0};
    }

    template <class M, std::enable_if_t<detail::is_matexpr<M>::value, int> = 0>
    View(const M& expression) : View(std::make_shared<std::decay_t<decltype(expression.a)>>(expression)) {}

    template <class M, std::enable_if_t<detail::is_eigenexpr<M>::value, int> = 0>
    View(const M& expression) : View(std::make_shared<std::decay_t<decltype(expression.eval())>>(expression.eval())) {}

    bool empty() const { return count() == 0; }
    char kind() const { return kind_; }
    std::size_t size() const { return size_; }
    const detail::Shape& shape() const { return shape_; }

    std::size_t count() const {
        std::size_t total = 1;
        for (std::size_t one : shape_) total *= one;
        return total;
    }

    /// The numbers, row after row.
    std::vector<unsigned char> bytes() const {
        std::vector<unsigned char> found(count() * size_);
        std::vector<std::size_t> at(shape_.size(), 0);
        for (std::size_t done = 0; done < found.size(); done += size_) {
            const unsigned char* from = data_;
            for (std::size_t k = 0; k < at.size(); ++k) from += std::ptrdiff_t(at[k]) * strides_[k];
            std::memcpy(&found[done], from, size_);
            for (std::size_t k = at.size(); k-- > 0 && ++at[k] == shape_[k];) at[k] = 0;
        }
        return found;
    }

    /// The same numbers in another order of places.
    View viewed(detail::Shape shape, std::vector<std::ptrdiff_t> byte_strides) const {
        View other = *this;
        other.shape_ = std::move(shape);
        other.strides_ = std::move(byte_strides);
        return other;
    }
    const std::vector<std::ptrdiff_t>& byte_strides() const { return strides_; }

private:
    template <class M>
    explicit View(std::shared_ptr<M> result) : View(*result) {
        kept_ = std::move(result);
    }

    std::shared_ptr<const void> kept_;
    const unsigned char* data_ = nullptr;
    char kind_ = 'f';
    std::size_t size_ = 8;
    detail::Shape shape_;
    std::vector<std::ptrdiff_t> strides_;
};

namespace detail {

/// The one stride of a row or a column.
inline std::ptrdiff_t step_of(const View& view) {
    std::ptrdiff_t step = 0;
    std::size_t above = 0;
    for (std::size_t k = 0; k < view.shape().size(); ++k) above += view.shape()[k] > 1 ? 1 : 0;
    for (std::size_t k = 0; k < view.shape().size(); ++k)
        if (view.shape()[k] > 1 || (above == 0 && step == 0)) step = view.byte_strides()[k];
    if (above > 1) throw RecorderError("expected one row or column of numbers, or two rows");
    return step;
}

}  // namespace detail

/// Points that come as one row or column, all x before all y, or as two rows (x, y), as n x 2.
inline View stacked(const View& points) {
    const detail::Shape& shape = points.shape();
    if (shape.size() == 2 && shape[0] == 2 && shape[1] > 1)
        return points.viewed({shape[1], 2}, {points.byte_strides()[1], points.byte_strides()[0]});
    const std::ptrdiff_t step = detail::step_of(points);
    const std::size_t n = points.count() / 2;
    return points.viewed({n, 2}, {step, std::ptrdiff_t(n) * step});
}

/// Points that come as one row or column, x and y of the first, x and y of the second ..., as n x 2.
inline View interleaved(const View& points) {
    const std::ptrdiff_t step = detail::step_of(points);
    return points.viewed({points.count() / 2, 2}, {2 * step, step});
}

/// The first `count` numbers on the diagonal of a matrix: the weights of n landmarks of a 2n x 2n one.
inline View diagonal(const View& matrix, std::size_t count) {
    const detail::Shape& shape = matrix.shape();
    if (shape.size() != 2 || count > shape[0] || count > shape[1])
        throw RecorderError("expected a matrix with at least that many rows and columns");
    return matrix.viewed({count}, {matrix.byte_strides()[0] + matrix.byte_strides()[1]});
}

/// A matrix with rows and columns exchanged.
inline View transposed(const View& matrix) {
    detail::Shape shape(matrix.shape().rbegin(), matrix.shape().rend());
    return matrix.viewed(shape, {matrix.byte_strides().rbegin(), matrix.byte_strides().rend()});
}

/// Rows or columns one behind the other, as numbers of their own: joined({global, local}) are the parameters.
inline std::vector<double> joined(std::initializer_list<View> parts) {
    std::vector<double> numbers;
    for (const View& part : parts) {
        const std::vector<unsigned char> bytes = part.bytes();
        for (std::size_t k = 0; k < bytes.size(); k += part.size()) {
            const void* from = &bytes[k];
            auto add = [&](auto number) {
                std::memcpy(&number, from, sizeof number);
                numbers.push_back(double(number));
            };
            if (part.kind() == 'f' && part.size() == 8) add(double());
            else if (part.kind() == 'f' && part.size() == 4) add(float());
            else if (part.kind() == 'f' && part.size() == sizeof(long double)) add((long double)0);
            else if (part.kind() == 'i' && part.size() == 4) add(std::int32_t());
            else if (part.kind() == 'i' && part.size() == 8) add(std::int64_t());
            else if (part.kind() == 'i' && part.size() == 2) add(std::int16_t());
            else if (part.kind() == 'i' && part.size() == 1) add(std::int8_t());
            else if (part.kind() == 'u' && part.size() == 4) add(std::uint32_t());
            else if (part.kind() == 'u' && part.size() == 8) add(std::uint64_t());
            else if (part.kind() == 'u' && part.size() == 2) add(std::uint16_t());
            else if (part.size() == 1) add(std::uint8_t());
            else throw RecorderError("expected numbers of another kind, such as float or double");
        }
    }
    return numbers;
}

// --- JSON ------------------------------------------------------------------------------------------

/// A value in the header of a trace: a number, true or false, a text, or a list of numbers.
class Json {
public:
    Json(bool value) : text_(value ? "true" : "false") {}
    template <class T, std::enable_if_t<std::is_arithmetic_v<T> && !std::is_same_v<T, bool>, int> = 0>
    Json(T value) : text_(number(double(value))) {}
    Json(const char* value) : text_(quoted(value)) {}
    Json(const std::string& value) : text_(quoted(value)) {}
    Json(const std::vector<double>& values) : text_(list(values, {values.size()})) {}
    Json(std::initializer_list<double> values) : Json(std::vector<double>(values)) {}

    const std::string& text() const { return text_; }

    static std::string number(double value) {
        if (std::isnan(value)) return "null";
        if (std::isinf(value)) return value > 0 ? "Infinity" : "-Infinity";
        char text[40];
        const bool whole = value == std::floor(value) && std::fabs(value) < 1e15 && !(value == 0 && std::signbit(value));
        std::snprintf(text, sizeof text, whole ? "%.0f" : "%.17g", value);
        for (char* c = text; *c != 0; ++c)
            if (*c == ',') *c = '.';  // in some locales
        return text;
    }

    static std::string quoted(const std::string& value) {
        std::string text = "\"";
        for (const char c : value) {
            char escaped[8];
            if (c == '"' || c == '\\') text += '\\', text += c;
            else if (static_cast<unsigned char>(c) < 0x20) std::snprintf(escaped, sizeof escaped, "\\u%04x", c), text += escaped;
            else text += c;
        }
        return text + '"';
    }

    static std::string list(const std::vector<double>& values, const detail::Shape& shape, bool truth = false) {
        std::size_t next = 0;
        return nested(values, shape, 0, next, truth);
    }

private:
    static std::string nested(const std::vector<double>& values, const detail::Shape& shape, std::size_t depth,
                              std::size_t& next, bool truth) {
        if (depth == shape.size()) {
            const double value = values[next++];
            if (truth) return value != 0 ? "true" : "false";
            const std::string text = number(value);
            return text.find_first_of(".en") == std::string::npos ? text + ".0" : text;
        }
        std::string text = "[";
        for (std::size_t k = 0; k < shape[depth]; ++k) text += (k ? "," : "") + nested(values, shape, depth + 1, next, truth);
        return text + "]";
    }

    std::string text_;
};

/// What else the header of a trace may tell; all of it optional.
struct Header {
    std::string model;                       ///< its name
    std::string model_fingerprint;           ///< as `clnf model` tells it
    std::vector<double> box;                 ///< x, y, width, height of the face that the start was computed from
    std::string source = "box";              ///< "detector" where that box was found by one
    std::map<std::string, Json> options;     ///< of the fit, as in the header of a trace: {"windows", {11, 9, 7}}
    std::map<std::string, Json> notes;       ///< anything
    std::vector<std::string> conventions;    ///< in which the values depart from docs/trace-format.md
    int n_landmarks = 0;                     ///< with landmark_indices: how many there are in all
    std::vector<double> landmark_indices;    ///< where arrays have rows for these landmarks only
};

/// Number of the landmark of the surrounding `Landmark`.
constexpr int here = -1;

namespace detail {
inline int& current_landmark() {
    thread_local int landmark = here;
    return landmark;
}
}  // namespace detail

/// While it lives, `here` means this landmark, in this thread.
class Landmark {
public:
    explicit Landmark(int landmark) : before_(detail::current_landmark()) { detail::current_landmark() = landmark; }
    ~Landmark() { detail::current_landmark() = before_; }
    Landmark(const Landmark&) = delete;
    Landmark& operator=(const Landmark&) = delete;

private:
    int before_;
};

namespace detail {

constexpr std::size_t max_inline = 64;  // numbers that are written into the line itself
constexpr std::uint64_t max_bytes = std::uint64_t(1) << 31;  // of the arrays of a trace, as its readers have it
constexpr std::size_t max_steps = 100000;

using Table = std::map<std::string, std::string>;

// Shapes: n landmarks, p parameters, q those that the phase moves, w the window, "." any size.
inline const Table& rows() {
    static const Table table = {
        {"params", "p"},
        {"landmarks", "n 2"},
        {"landmarks_before", "n 2"},
        {"mean_shift/position", "n 2"},
        {"mean_shift/kernel_sum", "n"},
        {"mean_shift/reference", "n 2"},
        {"mean_shift/image", "n 2"},
        {"mean_shift/empty", "n"},
        {"weights", "n"},
        {"jacobian", "2n q"},
        {"hessian", "q q"},
        {"gradient", "q"},
        {"delta", "q"},
        {"clamped", "p"},
        {"likelihoods", "n"},
        {"update_norm", ""},
        {"shape_change", ""},
        {"likelihood", ""},
    };
    return table;
}

inline const Table& maps() {
    static const Table table = {
        {"base_shape", "n 2"},
        {"reference_shape", "n 2"},
        {"image_to_reference", "2 2"},
        {"reference_to_image", "2 2"},
        {"visible", "n"},
        {"area", "n . ."},
        {"neuron_ncc", "n . w w"},
        {"neuron_output", "n . w w"},
        {"raw", "n w w"},
        {"after_sigma", "n w w"},
        {"shifted", "n w w"},
        {"final", "n w w"},
    };
    return table;
}

inline std::vector<std::string> words(const std::string& text) {
    std::vector<std::string> found;
    std::string word;
    for (const char c : text + " ") {
        if (c != ' ') word += c;
        else if (!word.empty()) found.push_back(std::exchange(word, ""));
    }
    return found;
}

template <class List>
std::string joined_by(const List& list, const std::string& between) {
    std::string text;
    for (const auto& one : list) {
        if (!text.empty()) text += between;
        if constexpr (std::is_convertible_v<decltype(one), std::string>) text += one;
        else text += std::to_string(one);
    }
    return text.empty() ? "a number" : text;
}

/// An array that was copied, in C order.
struct Array {
    char kind = 'f';
    std::size_t size = 8;
    Shape shape;
    std::vector<unsigned char> bytes;

    std::size_t count() const { return bytes.size() / size; }

    std::string dtype() const {
        const std::uint16_t one = 1;
        unsigned char first = 0;
        std::memcpy(&first, &one, 1);
        return (size == 1 ? "|" : first == 1 ? "<" : ">") + std::string(1, kind) + std::to_string(size);
    }

    std::vector<double> numbers() const {
        std::vector<double> found(count());
        for (std::size_t k = 0; k < found.size(); ++k) {
            float single = 0;
            if (size == 8) std::memcpy(&found[k], &bytes[8 * k], 8);
            else if (size == 4) std::memcpy(&single, &bytes[4 * k], 4), found[k] = double(single);
            else found[k] = double(bytes[k]);
        }
        return found;
    }

    /// Whether a line can hold it without losing anything.
    bool is_inline() const {
        if (shape.empty()) return true;
        if (count() > max_inline || !(kind == 'b' || size == 8)) return false;
        for (const double value : numbers())
            if (std::isinf(value)) return false;
        return true;
    }
};

inline bool is_bool(const std::string& name) {
    return name == "clamped" || name == "mean_shift/empty" || name == "visible";
}

/// A copy of a view; whole numbers become doubles, and 0 and 1 true and false where these are meant.
inline Array copied(const std::string& name, const View& view) {
    Array array;
    array.kind = view.kind(), array.size = view.size(), array.shape = view.shape();
    if (view.empty()) throw RecorderError(name + " is empty");
    const bool kept = view.kind() == 'f' && (view.size() == 4 || view.size() == 8);
    if (is_bool(name) && view.kind() != 'b') {
        array.kind = 'b', array.size = 1;
        for (const double value : joined({view})) {
            if (value != 0 && value != 1) throw RecorderError(name + " holds numbers other than 0 and 1; expected true and false");
            array.bytes.push_back(value != 0);
        }
    } else if (kept || view.kind() == 'b' || (name == "image" && view.kind() == 'u' && view.size() == 1)) {
        if (view.kind() == 'b' && !is_bool(name)) throw RecorderError(name + " holds true and false; expected real numbers");
        array.bytes = view.bytes();
    } else {
        const std::vector<double> numbers = joined({view});
        array.kind = 'f', array.size = 8;
        array.bytes.resize(8 * numbers.size());
        std::memcpy(array.bytes.data(), numbers.data(), array.bytes.size());
    }
    return array;
}

/// Removes sizes of 1 that are too many.
inline Shape squeezed(Shape shape, std::size_t dimensions) {
    for (std::size_t k = 0; k < shape.size() && shape.size() > dimensions;) {
        if (shape[k] == 1) shape.erase(shape.begin() + std::ptrdiff_t(k));
        else ++k;
    }
    return shape;
}

/// What was collected of one value: all of it, or rows of landmarks, or of their neurons.
struct Value {
    Array whole;
    std::map<std::pair<int, int>, Array> rows;
    bool of_neurons = false;

    /// All rows; NaN (or false) for landmarks without one, 0 for neurons without.
    Array array(std::size_t landmarks) const {
        if (rows.empty()) return whole;
        std::size_t kinds = 1;
        for (const auto& row : rows) {
            if (landmarks == 0 || std::size_t(row.first.first) >= landmarks) landmarks = std::size_t(row.first.first) + 1;
            kinds = (std::max)(kinds, std::size_t(row.first.second) + 1);  // Windows has a macro max
        }
        const Array& one = rows.begin()->second;
        const std::size_t size = one.bytes.size();
        Array all = one;
        all.shape.insert(all.shape.begin(), landmarks);
        if (of_neurons) all.shape.insert(all.shape.begin() + 1, kinds);
        all.bytes.assign(size * kinds * landmarks, 0);
        const double nan = std::numeric_limits<double>::quiet_NaN();
        const float single_nan = std::numeric_limits<float>::quiet_NaN();
        for (std::size_t k = 0; one.kind == 'f' && k < all.bytes.size(); k += one.size) {
            if (one.size == 8) std::memcpy(&all.bytes[k], &nan, 8);
            else std::memcpy(&all.bytes[k], &single_nan, 4);
        }
        for (const auto& row : rows) {
            unsigned char* landmark = &all.bytes[std::size_t(row.first.first) * kinds * size];
            if (rows.lower_bound({row.first.first, 0})->first == row.first) std::memset(landmark, 0, kinds * size);
            std::memcpy(landmark + std::size_t(row.first.second) * size, row.second.bytes.data(), size);
        }
        return all;
    }
};

/// A file that is appended to, each piece at once.
class File {
public:
    explicit File(const std::string& path) : path_(path), file_(std::fopen(path.c_str(), "wb")) {
        if (file_ == nullptr) fail();
        std::setvbuf(file_, nullptr, _IONBF, 0);  // whatever happens to this process, the system has it
    }
    ~File() { std::fclose(file_); }
    File(const File&) = delete;
    File& operator=(const File&) = delete;

    void append(const void* data, std::size_t size) {
        if (size != 0 && std::fwrite(data, 1, size, file_) != size) fail();
    }

    struct Error : RecorderError {
        using RecorderError::RecorderError;
    };

private:
    [[noreturn]] void fail() const { throw Error(path_ + ": cannot be written (" + std::strerror(errno) + ")"); }

    std::string path_;
    std::FILE* file_;
};

inline void make_folder(const std::string& path) {
    for (std::size_t k = 1; k <= path.size(); ++k) {
        if (k < path.size() && path[k] != '/' && path[k] != '\\') continue;
#ifdef _WIN32
        _mkdir(path.substr(0, k).c_str());
#else
        mkdir(path.substr(0, k).c_str(), 0777);
#endif
    }
}

#ifndef _WIN32

/// Tells a running window which folder has how many steps; what they hold, it reads there.
///
/// Nothing here waits for the other side, unless the port is held: what cannot be sent now is sent with a later step, or
/// never, and a connection that is gone is tried again with a later step.
class Stream {
public:
    Stream(const std::string& address, bool hold) : hold_(hold) {
        const std::size_t mark = address.rfind('#');
        const std::string place = address.substr(0, mark);
        if (mark != std::string::npos) token_ = address.substr(mark + 1);
        const int port = place.rfind("127.0.0.1:", 0) == 0 ? std::atoi(place.c_str() + 10) : 0;
        sockaddr_un path{};
        if (place.rfind("unix:", 0) == 0 && place.size() - 5 < sizeof path.sun_path) {
            path.sun_family = AF_UNIX;
            std::memcpy(path.sun_path, place.c_str() + 5, place.size() - 5);
            keep(path, AF_UNIX);
        } else if (port > 0 && port < 65536) {
            sockaddr_in inet{};
            inet.sin_family = AF_INET;
            inet.sin_port = htons(static_cast<std::uint16_t>(port));
            inet.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
            keep(inet, AF_INET);
        } else {
            throw RecorderError("stream is " + Json::quoted(address) + "; expected 127.0.0.1:PORT#TOKEN or unix:PATH#TOKEN");
        }
    }
    ~Stream() { give_up(); }
    Stream(const Stream&) = delete;
    Stream& operator=(const Stream&) = delete;

    /// Tell of a step; where the port is held, wait until it may go on.
    void tell(const std::string& folder, std::size_t steps) {
        connect();
        if (socket_ < 0 || connecting_) return;
        listen();
        if (held_) --allowed_;
        const bool waits = held_ && allowed_ < 0;
        if (unsent_.empty() || waits)
            unsent_ += "{\"folder\":" + Json::quoted(folder) + ",\"steps\":" + std::to_string(steps) +
                       ",\"held\":" + (waits ? "true" : "false") + "}\n";
        send();
        while (socket_ >= 0 && held_ && allowed_ < 0) {
            ready(static_cast<short>(unsent_.empty() ? POLLIN : POLLIN | POLLOUT), -1);
            send();
            listen();
        }
    }

private:
    static constexpr std::size_t max_answer = 4096;
    using Clock = std::chrono::steady_clock;

    template <class Address>
    void keep(const Address& address, int family) {
        address_.resize(sizeof address);
        std::memcpy(address_.data(), &address, sizeof address);
        family_ = family;
    }

    bool ready(short events, int milliseconds) const {
        pollfd one{socket_, events, 0};
        return poll(&one, 1, milliseconds) > 0;
    }

    void connect() {
        if (socket_ < 0 && (!tried_ || Clock::now() - last_ >= std::chrono::milliseconds(500))) {
            tried_ = true, last_ = Clock::now();
            socket_ = ::socket(family_, SOCK_STREAM, 0);
            connecting_ = true;
            if (socket_ < 0) return;
            fcntl(socket_, F_SETFL, O_NONBLOCK);
            fcntl(socket_, F_SETFD, FD_CLOEXEC);
#ifdef SO_NOSIGPIPE
            const int yes = 1;
            setsockopt(socket_, SOL_SOCKET, SO_NOSIGPIPE, &yes, sizeof yes);
#endif
            const auto* address = reinterpret_cast<const sockaddr*>(address_.data());
            if (::connect(socket_, address, static_cast<socklen_t>(address_.size())) != 0 && errno != EINPROGRESS &&
                errno != EAGAIN)
                give_up();
        }
        if (socket_ >= 0 && connecting_ && ready(POLLOUT, 0)) {
            int error = 0;
            socklen_t size = sizeof error;
            if (getsockopt(socket_, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) return give_up();
            connecting_ = false, held_ = hold_, allowed_ = 0, heard_.clear();
            unsent_ = "{\"clnf-live\":1,\"token\":" + Json::quoted(token_) + "}\n";
            send();
        }
    }

    void send() {
#ifdef MSG_NOSIGNAL
        const int flags = MSG_NOSIGNAL;
#else
        const int flags = 0;
#endif
        if (socket_ < 0 || unsent_.empty()) return;
        const ssize_t sent = ::send(socket_, unsent_.data(), unsent_.size(), flags);
        if (sent >= 0) unsent_.erase(0, std::size_t(sent));
        else if (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR) give_up();
    }

    /// Take what the window answered: {"go": 1}, {"hold": true}.
    void listen() {
        char data[max_answer];
        while (socket_ >= 0) {
            const ssize_t size = recv(socket_, data, sizeof data, 0);
            if (size < 0 && (errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR)) return;
            if (size <= 0) return give_up();
            heard_.append(data, std::size_t(size));
            for (std::size_t end = heard_.find('\n'); end != std::string::npos; end = heard_.find('\n')) {
                const std::string line = heard_.substr(0, end);
                heard_.erase(0, end + 1);
                const std::size_t hold = line.find("\"hold\": "), go = line.find("\"go\": ");
                if (line.empty() || line[0] != '{' || (hold == go)) return give_up();
                if (hold != std::string::npos) held_ = line.compare(hold + 8, 4, "true") == 0;
                const long more = go == std::string::npos ? 0 : std::strtol(line.c_str() + go + 6, nullptr, 10);
                allowed_ = held_ ? allowed_ + (std::max)(0L, (std::min)(more, 1000000L)) : 0;
            }
            if (heard_.size() > max_answer) give_up();
        }
    }

    void give_up() {
        if (socket_ >= 0) ::close(socket_);
        socket_ = -1, connecting_ = held_ = false;
        unsent_.clear();
    }

    std::string token_, unsent_, heard_;
    std::vector<char> address_;
    int family_ = 0, socket_ = -1;
    bool hold_, held_ = false, connecting_ = false, tried_ = false;
    long allowed_ = 0;
    Clock::time_point last_;
};

inline std::string absolute(const std::string& path) {
    char working[4096];
    if (path.rfind('/', 0) == 0 || getcwd(working, sizeof working) == nullptr) return path;
    return std::string(working) + "/" + path;
}

#endif

}  // namespace detail

// --- the recorder ----------------------------------------------------------------------------------

/// Settings of a stage by name: index (counted from 0 where it is not given), window, scale (reference px per model
/// unit), patch_scale, view, sigma, reg_factor, weight_factor (as used, after their adaptation), sigma_transform.
using Settings = std::vector<std::pair<std::string, double>>;

/// Writes the fits of a port, each to a folder of its own, which holds every completed step whatever happens next.
///
/// All methods may be called from any thread. Outside of begin ... end, maps, map, neuron, put and put_at do nothing.
/// Where `strict` is false, a value that is wrong is left out, recording stops where the folder cannot be written, and
/// each is told once on standard error; otherwise they throw RecorderError.
class Recorder {
public:
    /// Records to the folder of the environment variable CLNF_RECORD; without it every call returns at once.
    Recorder() {
        const char* folder = std::getenv("CLNF_RECORD");
        folder_ = folder == nullptr ? "" : folder;
        on_ = !folder_.empty();
        find_stream();
    }

    /// The first fit goes to `folder`, those that follow get _2, _3 ... added. Traces of these names are replaced.
    explicit Recorder(std::string folder, bool strict = true)
        : folder_(std::move(folder)), on_(!folder_.empty()), strict_(strict) {
        find_stream();
    }

    Recorder(const Recorder&) = delete;
    Recorder& operator=(const Recorder&) = delete;

    void strict(bool value) { strict_ = value; }

    /// Tell a listener on this machine of every step: 127.0.0.1:PORT#TOKEN or unix:PATH#TOKEN; by default that of the
    /// environment variable CLNF_STREAM. With `hold` the port waits after every step until it is told to go on; where
    /// nobody listens, it never waits. Not on Windows.
    void stream(const std::string& address, bool hold = false) {
        guarded([&] {
#ifdef _WIN32
            throw RecorderError("stream " + address + (hold ? " (held)" : "") + " is not there on Windows");
#else
            stream_ = std::make_unique<detail::Stream>(address, hold);
#endif
        });
    }
    bool on() const { return on_; }

    /// Of the fit that was begun last; "" before the first.
    std::string folder() const { return fits_ == 0 ? "" : fits_ == 1 ? folder_ : folder_ + "_" + std::to_string(fits_); }

    /// Begin a fit: the grey levels that are fitted, and the parameters and landmarks where it starts.
    void begin(const View& image, const Header& header = Header()) { start(image, {}, header); }
    void begin(const View& image, const View& params, const Header& header = Header()) {
        start(image, {{"params", params}}, header);
    }
    void begin(const View& image, const View& params, const View& landmarks, const Header& header = Header()) {
        start(image, {{"params", params}, {"landmarks", landmarks}}, header);
    }

    /// Begin a stage, one patch scale and window.
    void stage(const Settings& settings) {
        guarded([&] { begin_stage(settings, ""); });
    }

    /// Tell that a stage was not run, and why.
    void skip(const std::string& reason, const Settings& settings) {
        guarded([&] {
            begin_stage(settings, reason.empty() ? "skipped" : reason);
            step("skipped", ",\"message\":" + Json::quoted(reason), {});
        });
    }

    /// A response map of the stage, of all landmarks, under its name in the format.
    void maps(const std::string& name, const View& array) { collect(detail::maps(), name, array, no_index, no_index); }

    /// The maps of all landmarks, each a matrix of its own; empty ones are left out.
    template <class M, std::enable_if_t<!std::is_arithmetic_v<M> && std::is_convertible_v<const M&, View>, int> = 0>
    void maps(const std::string& name, const std::vector<M>& arrays) {
        for (std::size_t i = 0; i < arrays.size(); ++i)
            if (const View one = arrays[i]; !one.empty()) map(int(i), name, one);
    }

    /// A response map of one landmark; `clnf::here` stands for that of the surrounding clnf::Landmark.
    void map(int landmark, const std::string& name, const View& array) {
        collect(detail::maps(), name, array, landmark, no_index);
    }

    /// neuron_ncc or neuron_output of one neuron of a landmark; 0 where it is never called.
    void neuron(int landmark, int neuron, const std::string& name, const View& array) {
        collect(detail::maps(), name, array, landmark, neuron);
    }

    /// A value of the step that is written next, under its name in the format.
    void put(const std::string& name, const View& value) { collect(detail::rows(), name, value, no_index, no_index); }

    /// The row of one landmark of such a value.
    void put_at(int landmark, const std::string& name, const View& value) {
        collect(detail::rows(), name, value, landmark, no_index);
    }

    /// Write an iteration of "rigid" or "nonrigid", with what was put since the one before; iterations are counted
    /// from 1 where their number is not given.
    void iteration(const std::string& phase, int number = 0) {
        guarded([&] {
            if (phase != "rigid" && phase != "nonrigid")
                throw RecorderError("phase is " + Json::quoted(phase) + "; expected \"rigid\" or \"nonrigid\"");
            Fit& fit = open();
            if (!fit.in_stage) throw RecorderError("a " + phase + " iteration belongs to a stage; call stage first");
            before_step();
            Sizes sizes;
            if (phase == "rigid") sizes["q"] = 6;
            else if (fit.sizes.count("p") != 0) sizes["q"] = fit.sizes["p"];
            std::string text = taken(detail::maps(), sizes).text;
            if (!text.empty()) text = ",\"responses\":{" + text.substr(1) + "}";
            const Taken found = taken(detail::rows(), sizes);
            if (phase == "nonrigid" && sizes.count("q") != 0) fit.sizes.emplace("p", sizes["q"]);
            int& count = fit.counts[phase];
            count = number > 0 ? number : count + 1;
            step(phase, ",\"iteration\":" + std::to_string(count) + text, found);
        });
    }

    /// Whether the phase ends with the iteration that was written last because the shape stopped moving.
    void converged(bool value) {
        guarded([&] { line(std::string("{\"more\":true,\"converged\":") + (value ? "true" : "false") + "}"); });
    }

    /// Add to the step that was written last what was put since, such as its likelihoods.
    void more() {
        guarded([&] {
            Fit& fit = open();
            Sizes sizes;
            const Taken found = taken(detail::rows(), sizes);
            line("{\"more\":true" + found.text + "}");
            for (const auto& one : found.kept) fit.last[one.first] = one.second;
        });
    }

    /// End the fit, with what was put since the last iteration, such as its likelihood.
    void end(bool success = true, const std::string& message = "") {
        guarded([&] {
            before_step();
            Sizes sizes;
            const Taken found = taken(detail::rows(), sizes);
            std::string text = std::string(",\"success\":") + (success ? "true" : "false");
            if (!message.empty()) text += ",\"message\":" + Json::quoted(message);
            step("end", text, found);
            fit_.reset();
        });
    }

    /// Close the files; a fit that was not ended stays as it is.
    void close() {
        guarded([&] { fit_.reset(); });
    }

private:
    using Sizes = std::map<std::string, std::size_t>;
    static constexpr int no_index = -2;

    struct Fit {
        explicit Fit(const std::string& folder)
            : lines((detail::make_folder(folder), folder + "/trace.jsonl")), arrays(folder + "/arrays.raw") {}

        detail::File lines, arrays;
        std::uint64_t size = 0;
        std::size_t steps = 0;
        Sizes sizes;
        bool in_stage = false, told = false, answered = true;
        int stage = -1;
        std::string stage_text;
        std::map<std::string, int> counts;
        std::map<std::string, detail::Value> values;
        std::map<std::string, std::string> last;
    };

    /// Values as a line has them, and those that the next step may share.
    struct Taken {
        std::string text;
        std::map<std::string, std::string> kept;
    };

    template <class Do>
    void guarded(Do&& act) {
        if (!on_) return;
        const std::lock_guard<std::recursive_mutex> lock(mutex_);
        try {
            act();
        } catch (const detail::File::Error& error) {
            on_ = false;
            mistake(error.what());
        } catch (const std::exception& error) {
            mistake(error.what());
        }
    }

    void mistake(const std::string& text) {
        if (strict_) throw RecorderError(text);
        if (said_.size() < 100 && said_.insert(text).second) std::fprintf(stderr, "clnf_recorder: %s\n", text.c_str());
    }

    Fit& open() {
        if (fit_ == nullptr) throw RecorderError("no fit is open; call begin first");
        if (fit_->steps >= detail::max_steps)
            throw RecorderError("the fit has " + std::to_string(detail::max_steps) +
                                " steps; those that follow are not recorded");
        return *fit_;
    }

    void find_stream() {
        const char* address = std::getenv("CLNF_STREAM");
        if (address != nullptr && *address != 0) stream(address);
    }

    // --- what is collected

    void collect(const detail::Table& table, const std::string& name, const View& view, int landmark, int neuron) {
        if (!on_) return;
        guarded([&] {
            if (fit_ == nullptr) return;
            const auto found = table.find(name);
            if (found == table.end()) throw RecorderError(name + " is no value here; expected one of " + names(table));
            if (&table == &detail::maps() && !fit_->in_stage) throw RecorderError(name + " belongs to a stage; call stage first");
            const std::vector<std::string> wanted = detail::words(found->second);
            if (neuron != no_index && name.compare(0, 7, "neuron_") != 0)
                throw RecorderError(name + " is no map of a neuron; expected neuron_ncc or neuron_output");
            if (landmark != no_index && (wanted.empty() || wanted[0] != "n"))
                throw RecorderError(name + " has no row for each landmark; give it whole");
            detail::Array array = detail::copied(name, view);
            detail::Value& value = fit_->values[name];
            if (landmark == no_index) {
                value = detail::Value();
                value.whole = std::move(array);
                return;
            }
            put_row(name, value, std::move(array), landmark, neuron, wanted.size());
        });
    }

    void put_row(const std::string& name, detail::Value& value, detail::Array array, int landmark, int neuron,
                 std::size_t dimensions) {
        if (landmark == here) landmark = detail::current_landmark();
        if (landmark == here) throw RecorderError("no landmark is given; expected its number, or a surrounding clnf::Landmark");
        const std::size_t limit = fit_->sizes.count("n") != 0 ? fit_->sizes["n"] : 1000;
        if (landmark < 0 || std::size_t(landmark) >= limit)
            throw RecorderError("landmark is " + std::to_string(landmark) + ", but there are " + std::to_string(limit));
        const bool of_neuron = neuron != no_index;
        if (of_neuron && (neuron < 0 || neuron > 1000))
            throw RecorderError("neuron is " + std::to_string(neuron) + "; expected a whole number from 0");
        dimensions -= of_neuron ? 2 : 1;
        array.shape = detail::squeezed(array.shape, dimensions);
        const std::string which = name + " of landmark " + std::to_string(landmark) + " is ";
        const std::string kind = array.dtype() + " " + detail::joined_by(array.shape, "x");
        if (array.shape.size() != dimensions)
            throw RecorderError(which + kind + "; expected " + std::to_string(dimensions) + " sizes");
        if (!value.rows.empty() && value.of_neurons == of_neuron) {
            const auto& first = *value.rows.begin();
            if (first.second.shape != array.shape || first.second.dtype() != array.dtype())
                throw RecorderError(which + kind + "; that of " + std::to_string(first.first.first) + " was " +
                                    first.second.dtype() + " " + detail::joined_by(first.second.shape, "x"));
        } else {
            value = detail::Value();
            value.of_neurons = of_neuron;
        }
        value.rows[{landmark, of_neuron ? neuron : 0}] = std::move(array);
    }

    static std::string names(const detail::Table& table) {
        std::vector<std::string> found;
        for (const auto& one : table) found.push_back(one.first);
        return detail::joined_by(found, ", ");
    }

    // --- what is written

    void start(const View& image, const std::vector<std::pair<std::string, View>>& values, const Header& header) {
        guarded([&] {
            fit_.reset();
            const detail::Array picture = detail::copied("image", image);
            if (picture.dtype() != "|u1" || detail::squeezed(picture.shape, 2).size() != 2)
                throw RecorderError("image is " + picture.dtype() + " " + detail::joined_by(picture.shape, "x") +
                                    "; expected grey levels, uint8 height x width");
            ++fits_;
            fit_ = std::make_unique<Fit>(folder());
            if (!header.landmark_indices.empty()) fit_->sizes["n"] = header.landmark_indices.size();
            else if (header.n_landmarks > 0) fit_->sizes["n"] = std::size_t(header.n_landmarks);
            for (const auto& value : values)
                if (!value.second.empty()) collect(detail::rows(), value.first, value.second, no_index, no_index);
            Sizes sizes;
            const Taken found = taken(detail::rows(), sizes);
            line(header_text(header, found, appended(picture)));
            step("initial", "", found);
        });
    }

    static std::string header_text(const Header& header, const Taken& found, const std::string& image) {
        std::string text = "{\"format\":\"clnf-trace\",\"version\":2,\"image\":" + image;
        auto add = [&](const char* key, const std::string& value) { text += ",\"" + std::string(key) + "\":" + value; };
        if (!header.model.empty()) add("model", Json::quoted(header.model));
        if (!header.model_fingerprint.empty()) add("model_fingerprint", Json::quoted(header.model_fingerprint));
        for (const auto* object : {&header.options, &header.notes}) {
            std::string inside;
            for (const auto& one : *object) inside += "," + Json::quoted(one.first) + ":" + one.second.text();
            if (!inside.empty()) add(object == &header.options ? "options" : "notes", "{" + inside.substr(1) + "}");
        }
        std::string conventions;
        for (const std::string& one : header.conventions) conventions += "," + Json::quoted(one);
        if (!conventions.empty()) add("conventions", "[" + conventions.substr(1) + "]");
        if (header.n_landmarks > 0) add("n_landmarks", std::to_string(header.n_landmarks));
        std::string indices;
        for (const double one : header.landmark_indices) indices += "," + Json::number(one);
        if (!indices.empty()) add("landmark_indices", "[" + indices.substr(1) + "]");
        const auto params = found.kept.find("params");
        if (!header.box.empty())
            add("initial", "{\"source\":" + Json::quoted(header.source) + ",\"box\":" + Json(header.box).text() + "}");
        else if (params != found.kept.end()) add("start", "\"params\"");
        if (params != found.kept.end()) add("initial_params", params->second);
        return text + "}";
    }

    void begin_stage(const Settings& settings, const std::string& skipped) {
        Fit& fit = open();
        before_step();
        static const std::set<std::string> whole = {"index", "window", "patch_scale", "view"};
        static const std::set<std::string> real = {"scale", "sigma", "reg_factor", "weight_factor"};
        int index = fit.stage + 1;
        std::string text;
        fit.sizes.erase("w");
        for (const auto& [name, value] : settings) {
            const bool known = whole.count(name) != 0 || real.count(name) != 0 || name == "sigma_transform";
            if (!known || (whole.count(name) != 0 && (value != std::floor(value) || std::fabs(value) > 1e6))) {
                mistake(known ? name + " of a stage is " + Json::number(value) + "; expected a whole number"
                              : name + " is no setting of a stage; expected index, window, patch_scale, view, scale, sigma, "
                                       "reg_factor, weight_factor or sigma_transform");
                continue;
            }
            if (name == "index") index = int(value);
            else if (name == "sigma_transform") text += std::string(",\"sigma_transform\":") + (value != 0 ? "true" : "false");
            else if (std::isfinite(value)) text += "," + Json::quoted(name) + ":" + Json::number(value);
            if (name == "window" && value > 0) fit.sizes["w"] = std::size_t(value);
        }
        if (!skipped.empty()) text += ",\"skipped\":" + Json::quoted(skipped);
        fit.stage = index, fit.in_stage = true, fit.told = false, fit.answered = !skipped.empty();
        fit.stage_text = "{\"index\":" + std::to_string(index) + text + "}";
        fit.counts.clear();
        fit.values.clear();
    }

    /// Write the step of the stage's response maps, when that was not done.
    void before_step() {
        Fit& fit = open();
        if (fit.answered) return;
        fit.answered = true;
        Sizes sizes;
        const std::string text = taken(detail::maps(), sizes).text;
        step("responses", text.empty() ? "" : ",\"responses\":{" + text.substr(1) + "}", {});
    }

    /// Write a step; where it moves nothing, parameters and landmarks are those of the step before.
    void step(const std::string& phase, const std::string& entry, Taken found) {
        Fit& fit = open();
        std::string text = "{\"phase\":\"" + phase + "\"";
        if (fit.in_stage && phase != "initial" && phase != "end") {
            text += ",\"stage\":" + (fit.told ? std::to_string(fit.stage) : fit.stage_text);
            fit.told = true;
        }
        text += entry;
        for (const auto& one : fit.last)
            if (phase != "rigid" && phase != "nonrigid" && found.kept.insert(one).second)
                text += "," + Json::quoted(one.first) + ":" + one.second;
        line(text + found.text + "}");
        ++fit.steps;
#ifndef _WIN32
        if (stream_ != nullptr) stream_->tell(detail::absolute(folder()), fit.steps);
#endif
        fit.last = std::move(found.kept);
    }

    /// The values of a table that were collected, which are collected no more; those of the wrong shape are left out.
    Taken taken(const detail::Table& table, Sizes& sizes) {
        Fit& fit = open();
        Taken found;
        for (const auto& [name, spec] : table) {
            const auto value = fit.values.find(name);
            if (value == fit.values.end()) continue;
            const detail::Value collected = std::move(value->second);
            fit.values.erase(value);
            try {
                const auto n = fit.sizes.find("n");
                const std::string text = written(name, collected.array(n == fit.sizes.end() ? 0 : n->second), spec, sizes);
                found.text += "," + Json::quoted(name) + ":" + text;
                if (name == "params" || name == "landmarks") found.kept[name] = text;
            } catch (const detail::File::Error&) {
                throw;
            } catch (const RecorderError& error) {
                mistake(error.what());
            }
        }
        return found;
    }

    /// A value as a line has it; larger ones are written to the arrays.
    std::string written(const std::string& name, detail::Array array, const std::string& spec, Sizes& sizes) {
        array.shape = fitted(name, array.shape, detail::words(spec), sizes);
        if (!array.is_inline()) return appended(array);
        if (array.shape.empty()) return Json::number(array.numbers()[0]);
        return Json::list(array.numbers(), array.shape, array.kind == 'b');
    }

    /// The shape of a value, without sizes of 1 that are too many; sizes that were not known are from now on.
    detail::Shape fitted(const std::string& name, const detail::Shape& given, const std::vector<std::string>& wanted,
                         Sizes& sizes) {
        Fit& fit = *fit_;
        const detail::Shape shape = detail::squeezed(given, wanted.size());
        Sizes known = fit.sizes, fresh;
        for (const auto& one : sizes) known[one.first] = one.second;
        bool good = shape.size() == wanted.size();
        for (std::size_t k = 0; good && k < shape.size(); ++k) {
            const std::string letter = wanted[k] == "2n" ? "n" : wanted[k];
            const std::size_t times = wanted[k] == "2n" ? 2 : 1;
            if (letter == ".") continue;
            if (letter == "2") known["2"] = 2;
            if (known.count(letter) == 0) known[letter] = fresh[letter] = shape[k] / times;
            good = shape[k] == times * known[letter];
        }
        if (!good) {
            std::string expected;
            for (const std::string& letter : wanted) {
                const bool twice = letter == "2n";
                const auto size = known.find(twice ? "n" : letter);
                const bool told = size != known.end() && fresh.count(size->first) == 0;
                expected += (expected.empty() ? "" : "x") + (told ? std::to_string((twice ? 2 : 1) * size->second) : letter);
            }
            std::string text = name + " is " + detail::joined_by(given, "x") + "; expected " +
                               (expected.empty() ? "a number" : expected);
            if (wanted.size() == 2 && wanted[0] == "n" && wanted[1] == "2")
                text += "; wrap it in clnf::stacked where all x come first, in clnf::interleaved where x and y alternate";
            throw RecorderError(text);
        }
        for (const auto& one : fresh) (one.first == "n" || one.first == "p" ? fit.sizes : sizes)[one.first] = one.second;
        return shape;
    }

    std::string appended(const detail::Array& array) {
        Fit& fit = *fit_;
        if (fit.size + array.bytes.size() > detail::max_bytes)
            throw RecorderError("the arrays of the fit hold 2 GiB; those that follow are not recorded");
        fit.arrays.append(array.bytes.data(), array.bytes.size());
        const std::string text = "{\"file\":\"arrays.raw\",\"dtype\":\"" + array.dtype() + "\",\"shape\":[" +
                                 detail::joined_by(array.shape, ",") + "],\"offset\":" + std::to_string(fit.size) + "}";
        fit.size += array.bytes.size();
        return text;
    }

    void line(const std::string& text) {
        const std::string whole = text + "\n";
        open().lines.append(whole.data(), whole.size());
    }

    std::string folder_;
    bool on_ = false, strict_ = true;
    int fits_ = 0;
    std::recursive_mutex mutex_;
    std::set<std::string> said_;
    std::unique_ptr<Fit> fit_;
#ifndef _WIN32
    std::unique_ptr<detail::Stream> stream_;
#endif
};

/// The recorder of the whole program, for code that is not handed one: that of CLNF_RECORD.
inline Recorder& recorder() {
    static Recorder one;
    return one;
}

}  // namespace clnf

#endif
