// A port that records, in C++: it plays calls, calls the recorder in every way, or goes on until it is killed.
#include "clnf_recorder.hpp"

#include "replay.hpp"
#include "views.hpp"

// As in test_recorders.py: step k holds k everywhere, and a dot tells that it is complete.
static int endless(const char* folder, const char* address, bool hold) {
    clnf::Recorder rec(folder);
    if (address != nullptr) rec.stream(address, hold);
    std::vector<unsigned char> image(1200, 7);
    std::vector<double> now = {1, 0, 0, 0, 0, 0, 0, 0};
    rec.begin(clnf::View(image.data(), {30, 40}), now);
    rec.stage({{"window", 11}});
    const std::vector<double> maps(3 * 121, 0.5);
    rec.maps("final", clnf::View(maps.data(), {3, 11, 11}));
    for (int k = 1; k < 90000; ++k) {
        const std::vector<double> jacobian(36, k), delta(6, k);
        const std::vector<float> weights(3, float(k));
        rec.put("jacobian", clnf::View(jacobian.data(), {6, 6}));
        rec.put("weights", weights);
        rec.put("delta", delta);
        now[7] = k;
        rec.put("params", now);
        rec.iteration("rigid");
        std::fputc('.', stdout);
        std::fflush(stdout);
    }
    return 0;
}

int main(int count, char** words) {
    const std::string mode = count > 2 ? words[1] : "views";
    if (mode == "replay") return replay(words[2], words[3]);
    if (mode == "endless") return endless(words[2], count > 3 ? words[3] : nullptr, count > 4);
    return views();
}
