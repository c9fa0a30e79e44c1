// Plays the calls that recording.py wrote to the recorder in C++.
#include <fstream>

struct Given {
    char kind;
    int size;
    clnf::detail::Shape shape;
    std::vector<char> bytes;
};

static std::ifstream file;

static int read_int() {
    int value = 0;
    file.read(reinterpret_cast<char*>(&value), 4);
    return value;
}

static std::string read_text() {
    std::string text(std::size_t(read_int()), ' ');
    file.read(&text[0], std::streamsize(text.size()));
    return text;
}

static clnf::View view(const Given& given) {
    const void* data = given.bytes.data();
    switch (given.kind) {
        case 'd': return {static_cast<const double*>(data), given.shape};
        case 'f': return {static_cast<const float*>(data), given.shape};
        case '?': return {static_cast<const bool*>(data), given.shape};
        default: return {static_cast<const unsigned char*>(data), given.shape};
    }
}

static clnf::Json option(const std::string& text) {
    if (text == "True" || text == "False") return text == "True";
    if (text.find_first_not_of("0123456789.,e-+") != std::string::npos) return text;
    if (text.find(',') == std::string::npos) return std::stod(text);
    std::vector<double> values;
    for (std::size_t at = 0; at != std::string::npos; at = text.find(',', at + 1)) values.push_back(std::stod(text.substr(at + (at > 0))));
    return values;
}

static int replay(const char* calls, const char* folder) {
    file.open(calls, std::ios::binary);
    clnf::Recorder rec(folder);
    while (file.peek() != EOF) {
        const int texts = read_int(), arrays = read_int();
        std::vector<std::string> text;
        for (int k = 0; k < texts; ++k) text.push_back(read_text());
        std::map<std::string, Given> given;
        for (int k = 0; k < arrays; ++k) {
            const std::string name = read_text();
            Given& one = given[name];
            file.read(&one.kind, 1);
            one.size = read_int();
            one.shape.resize(std::size_t(read_int()));
            std::size_t total = std::size_t(one.size);
            for (std::size_t& size : one.shape) total *= size = std::size_t(read_int());
            one.bytes.resize(total);
            file.read(one.bytes.data(), std::streamsize(total));
        }
        const std::string method = text[0];
        if (method == "begin") {
            clnf::Header header;
            for (const std::string& word : text) {
                const std::size_t at = word.find('=');
                if (word.rfind("option ", 0) == 0) header.options.emplace(word.substr(7, at - 7), option(word.substr(at + 1)));
                if (word.rfind("model=", 0) == 0) header.model = word.substr(at + 1);
            }
            header.box = clnf::joined({view(given["box"])});
            rec.begin(view(given["image"]), view(given["params"]), view(given["landmarks"]), header);
        } else if (method == "stage" || method == "skip") {
            clnf::Settings settings;
            for (const auto& one : given) settings.emplace_back(one.first, clnf::joined({view(one.second)})[0]);
            if (method == "stage") rec.stage(settings);
            else rec.skip(text[1], settings);
        } else {
            for (const auto& [name, one] : given) {
                if (method == "maps") rec.maps(name, view(one));
                else if (method == "map") rec.map(std::stoi(text[1]), name, view(one));
                else if (method == "neuron") rec.neuron(std::stoi(text[2]), std::stoi(text[1]), name, view(one));
                else if (method == "put_at") rec.put_at(std::stoi(text[1]), name, view(one));
                else rec.put(name, view(one));
            }
            if (method == "iteration") rec.iteration(text[1], std::stoi(text[2]));
            if (method == "more") rec.more();
            if (method == "more" && text[1] != "None") rec.converged(text[1] == "True");
            if (method == "end") rec.end(text[1] == "True", text[2]);
        }
    }
    return 0;
}
