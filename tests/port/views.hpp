// Calls the recorder with everything that can be a View, and in every wrong way.
#include <iostream>
#include <thread>

// The members of cv::Mat, cv::MatExpr, cv::Matx and of Eigen's matrices that a View is made of.
namespace cv {
struct Mat {
    int dims = 2, rows, cols, kind, planes;
    std::vector<unsigned char> owned;
    unsigned char* data;
    std::size_t step[3];
    int size[3] = {0, 0, 0};
    int depth() const { return kind; }
    int channels() const { return planes; }
    Mat(int r, int c, int depth, const void* from, std::size_t row_bytes, int channels = 1)
        : rows(r), cols(c), kind(depth), planes(channels), data(const_cast<unsigned char*>(static_cast<const unsigned char*>(from))) {
        const std::size_t sizes[] = {1, 1, 2, 2, 4, 4, 8};
        step[0] = row_bytes, step[1] = sizes[depth] * std::size_t(channels), step[2] = 0;
    }
};
struct MatExpr {
    const void* op = nullptr;
    Mat a;
    double alpha = 1;
    operator Mat() const { return a; }
};
template <class T, int R, int C>
struct Matx {
    enum { rows = R, cols = C };
    T val[R * C];
};
}  // namespace cv

template <class T, bool RowMajor>
struct EigenLike {
    using Scalar = T;
    enum { IsRowMajor = RowMajor };
    std::vector<T> numbers;
    long r, c, inner, outer;
    const T* data() const { return numbers.data(); }
    long rows() const { return r; }
    long cols() const { return c; }
    long size() const { return r * c; }
    long innerStride() const { return inner; }
    long outerStride() const { return outer; }
};
struct EigenExpression {
    using Scalar = double;
    EigenLike<double, false> eval() const { return {{1, 2, 3, 4}, 2, 2, 1, 2}; }
};

static int wrong = 0;

static void same(const char* what, const clnf::View& view, const clnf::detail::Shape& shape, const std::vector<double>& numbers) {
    if (view.shape() == shape && clnf::joined({view}) == numbers) return;
    std::cerr << what << " is not as it should be\n";
    wrong = 1;
}

static void kinds() {
    const float block[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11};
    same("mat", cv::Mat(2, 2, 5, block + 1, 16), {2, 2}, {1, 2, 5, 6});
    same("channels", cv::Mat(2, 1, 5, block, 16, 2), {2, 1, 2}, {0, 1, 4, 5});
    same("expression", cv::MatExpr{nullptr, cv::Mat(1, 2, 5, block, 16), 1}, {1, 2}, {0, 1});
    const short shorts[] = {-1, 2};
    same("shorts", cv::Mat(1, 2, 3, shorts, 4), {1, 2}, {-1, 2});
    same("matx", cv::Matx<double, 2, 2>{{1, 2, 3, 4}}, {2, 2}, {1, 2, 3, 4});
    same("column-major", EigenLike<double, false>{{1, 2, 3, 4, 5, 6}, 2, 3, 1, 2}, {2, 3}, {1, 3, 5, 2, 4, 6});
    same("row-major", EigenLike<float, true>{{1, 2, 3, 4, 5, 6}, 2, 3, 1, 3}, {2, 3}, {1, 2, 3, 4, 5, 6});
    same("eigen's expression", EigenExpression(), {2, 2}, {1, 3, 2, 4});
    same("vector", std::vector<float>{1, 2}, {2}, {1, 2});
    same("array", std::array<long, 2>{1, -2}, {2}, {1, -2});
    const double rows[2][3] = {{1, 2, 3}, {4, 5, 6}};
    same("C array", rows, {2, 3}, {1, 2, 3, 4, 5, 6});
    same("number", 2.5f, {}, {2.5});
    same("list", {1.5, 2}, {2}, {1.5, 2});
    same("pointer", clnf::View(block, {2, 2}, {4, 2}), {2, 2}, {0, 2, 4, 6});
    same("backwards", clnf::View(block + 3, {2}, {-2}), {2}, {3, 1});
    same("stacked", clnf::stacked(clnf::View(block, {1, 6})), {3, 2}, {0, 3, 1, 4, 2, 5});
    same("stacked rows", clnf::stacked(rows), {3, 2}, {1, 4, 2, 5, 3, 6});
    same("stacked column", clnf::stacked(cv::Mat(4, 1, 5, block, 8)), {2, 2}, {0, 4, 2, 6});
    same("interleaved", clnf::interleaved(clnf::View(block, {6, 1})), {3, 2}, {0, 1, 2, 3, 4, 5});
    same("diagonal", clnf::diagonal(clnf::View(block, {3, 4}), 2), {2}, {0, 5});
    same("transposed", clnf::transposed(rows), {3, 2}, {1, 4, 2, 5, 3, 6});
    if (!clnf::View(cv::Mat(0, 0, 5, nullptr, 0)).empty()) wrong = 1;
}

static const std::vector<double> params = {1, 0, 0, 0, 10, 10, 0.5};
static const std::vector<unsigned char> levels(600, 9);

static void begin(clnf::Recorder& rec) {
    const double landmarks[3][2] = {};
    rec.begin(clnf::View(levels.data(), {20, 30}), params, landmarks);
    rec.stage({{"window", 5}, {"sigma", 1.5}});
}

template <class Do>
static void mistake(const char* name, Do act) {
    clnf::Recorder rec("strict");
    begin(rec);
    try {
        act(rec);
        wrong = 1;
    } catch (const clnf::RecorderError& error) {
        std::cout << name << ": " << error.what() << "\n";
    }
}

static void mistakes() {
    const std::vector<double> zeros(147, 0.0);
    const std::vector<float> singles(25, 0.0f);
    auto view = [&](clnf::detail::Shape shape) { return clnf::View(zeros.data(), std::move(shape)); };
    mistake("delta", [&](auto& rec) { rec.put("delta", view({7})), rec.iteration("rigid"); });
    mistake("params", [&](auto& rec) { rec.put("params", view({6})), rec.iteration("rigid"); });
    mistake("jacobian", [&](auto& rec) { rec.put("jacobian", view({6, 6})), rec.iteration("nonrigid"); });
    mistake("landmarks", [&](auto& rec) { rec.put("landmarks", view({6})), rec.iteration("rigid"); });
    mistake("unknown", [&](auto& rec) { rec.put("step", 1); });
    mistake("rows", [&](auto& rec) {
        rec.map(0, "final", view({5, 5}));
        rec.map(1, "final", clnf::View(singles.data(), {5, 5}));
    });
    mistake("window", [&](auto& rec) { rec.maps("final", view({3, 7, 7})), rec.iteration("rigid"); });
    mistake("landmark", [&](auto& rec) { rec.put_at(3, "weights", 1); });
    mistake("here", [&](auto& rec) { rec.map(clnf::here, "final", view({5, 5})); });
    mistake("whole", [&](auto& rec) { rec.put_at(0, "hessian", 1); });
    mistake("neuron", [&](auto& rec) { rec.neuron(0, 0, "raw", view({5, 5})); });
    mistake("phase", [&](auto& rec) { rec.iteration("third"); });
    mistake("setting", [&](auto& rec) { rec.stage({{"colour", 3}}); });
    mistake("window_half", [&](auto& rec) { rec.stage({{"window", 4.5}, {"sigma", 1}}); });
    mistake("image", [&](auto& rec) { rec.begin(clnf::View(levels.data(), {4, 5, 3})); });
    mistake("no_fit", [&](auto& rec) { rec.end(), rec.iteration("rigid"); });
    mistake("no_stage", [&](auto& rec) {
        rec.begin(clnf::View(levels.data(), {20, 30}), params);
        rec.maps("final", view({3, 5, 5}));
    });
    std::fclose(std::fopen("nothing", "w"));
    mistake("folder", [&](auto&) {
        clnf::Recorder rec("nothing/run");
        begin(rec);
    });
    clnf::Recorder rec("lenient", false);
    begin(rec);
    for (int k = 0; k < 2; ++k) {
        rec.put("delta", view({9}));
        rec.put("gradient", std::vector<double>(6, 1.0));
        rec.put("nonsense", 1);
        rec.iteration("rigid");
    }
    clnf::Recorder nowhere("nothing/run", false);
    for (int k = 0; k < 3; ++k) begin(nowhere);
}

static void threads() {
    clnf::Recorder rec("threads");
    clnf::Header header;
    header.notes.emplace("text", "a \"quoted\" line\n");
    rec.begin(clnf::View(levels.data(), {20, 30}), params, header);
    rec.stage({{"window", 5}});
    std::vector<std::thread> all;
    for (int t = 0; t < 4; ++t)
        all.emplace_back([&rec, t] {
            for (int i = t; i < 64; i += 4) {
                const clnf::Landmark at(i);
                const std::vector<double> map(25, double(i));
                rec.map(clnf::here, "final", clnf::View(map.data(), {5, 5}));
            }
        });
    for (std::thread& one : all) one.join();
    rec.iteration("rigid");
    rec.end();
}

static int views() {
    kinds();
    mistakes();
    threads();
    clnf::recorder().begin(clnf::View(levels.data(), {20, 30}));  // CLNF_RECORD is not set: nothing happens
    return wrong;
}
