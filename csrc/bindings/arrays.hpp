// numpy arrays and other buffers -> typed pointers: dtypes and axes are checked, contiguous data is read where it lies.
#pragma once
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <string>
#include <type_traits>
#include <vector>

#include "common/errors.hpp"

namespace lfic::bindings {

namespace py = pybind11;

template <class T>
using Array = py::array_t<T, py::array::c_style>;

inline std::string text_of(const py::handle& object) {
    return py::str(object);
}

inline std::string type_name(const py::handle& object) {
    return text_of(py::type::of(object).attr("__name__"));
}

// An ndarray as it is, numpy's view of any other buffer; anything else is refused.
inline py::array as_array(const py::handle& object, const char* name) {
    if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
    if (!PyObject_CheckBuffer(object.ptr()))
        throw InvalidInput(std::string(name) + " is a " + type_name(object) + "; a numpy array or a buffer is needed");
    return py::module_::import("numpy").attr("asarray")(object);
}

// Whether an array holds native T. Read from the descriptor itself: comparing dtype objects costs half a microsecond.
template <class T>
bool holds(const py::array& array) {
    const auto* dtype = py::detail::array_descriptor_proxy(py::detail::array_proxy(array.ptr())->descr);
    const char kind = std::is_floating_point_v<T> ? 'f' : std::is_signed_v<T> ? 'i' : 'u';
    return dtype->kind == kind && array.itemsize() == static_cast<py::ssize_t>(sizeof(T)) &&
           (dtype->byteorder == '=' || dtype->byteorder == '|');
}

inline py::array contiguous(const py::array& array) {
    return array.flags() & py::array::c_style ? array : py::array::ensure(array, py::array::c_style);
}

// A C-contiguous view of `object` with exactly this dtype: non-contiguous input is copied, another dtype is refused.
template <class T>
Array<T> view(const py::handle& object, const char* name) {
    const py::array array = as_array(object, name);
    if (!holds<T>(array))
        throw InvalidInput(std::string(name) + " has dtype " + text_of(array.dtype()) + "; needed is " +
                           text_of(py::dtype::of<T>()));
    return py::reinterpret_borrow<Array<T>>(contiguous(array));
}

template <class T>
std::vector<T> to_vector(const py::handle& object, const char* name) {
    const auto array = view<T>(object, name);
    return std::vector<T>(array.data(), array.data() + array.size());
}

template <class T>
Array<T> to_array(const std::vector<T>& values) {
    return Array<T>(static_cast<py::ssize_t>(values.size()), values.data());
}

inline py::bytes to_bytes(const std::vector<uint8_t>& bytes) {
    return py::bytes(reinterpret_cast<const char*>(bytes.data()), bytes.size());
}

// Integers in the width that they come in: int32, int16 and, where `narrow`, uint8.
struct Integers {
    py::array array;
    enum Kind { u8, i16, i32 } kind;
    const void* data;
    std::size_t size;

    // axes: how many it must have; 0 allows any.
    Integers(const py::handle& object, const char* name, bool narrow, int axes = 1) : array(as_array(object, name)) {
        if (holds<int32_t>(array))
            kind = i32;
        else if (holds<int16_t>(array))
            kind = i16;
        else if (narrow && holds<uint8_t>(array))
            kind = u8;
        else
            throw InvalidInput(std::string(name) + " has dtype " + text_of(array.dtype()) + "; allowed are " +
                               (narrow ? "uint8, " : "") + "int16 and int32");
        if (axes && array.ndim() != axes)
            throw InvalidInput(std::string(name) + " has " + std::to_string(array.ndim()) + " axes; needed is " +
                               std::to_string(axes));
        array = contiguous(array);
        data = array.data();
        size = static_cast<std::size_t>(array.size());
    }

    // f(pointer to the integers, typed)
    template <class F>
    void visit(F&& f) const {
        if (kind == u8)
            f(static_cast<const uint8_t*>(data));
        else if (kind == i16)
            f(static_cast<const int16_t*>(data));
        else
            f(static_cast<const int32_t*>(data));
    }
    // The same for those that can't be uint8, so that no code is made for it.
    template <class F>
    void visit_wide(F&& f) const {
        kind == i16 ? f(static_cast<const int16_t*>(data)) : f(static_cast<const int32_t*>(data));
    }
};

// What a pointer that Integers::visit gives points to.
template <class Pointer>
using IntegerOf = std::remove_const_t<std::remove_pointer_t<Pointer>>;

// A contiguous run of bytes, held until this goes out of scope.
class Held {
  public:
    explicit Held(const py::handle& object) {
        if (PyObject_GetBuffer(object.ptr(), &buffer_, PyBUF_SIMPLE)) {
            PyErr_Clear();
            throw InvalidInput("data is a " + type_name(object) + "; bytes, or a contiguous buffer, are needed");
        }
    }
    Held(Held&& other) noexcept : buffer_(other.buffer_) { other.buffer_.obj = nullptr; }
    Held(const Held&) = delete;
    Held& operator=(const Held&) = delete;
    ~Held() {
        if (buffer_.obj) PyBuffer_Release(&buffer_);
    }

    const uint8_t* data() const { return static_cast<const uint8_t*>(buffer_.buf); }
    std::size_t size() const { return static_cast<std::size_t>(buffer_.len); }

  private:
    Py_buffer buffer_;
};

}  // namespace lfic::bindings
