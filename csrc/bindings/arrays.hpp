// numpy arrays and whatever numpy makes one of -> typed pointers: dtypes, axes and ranges are checked. What an index is
// read from is copied first: the GIL is released while C++ works, and another thread may write to the caller's array
// between the check and the use. What only gives values is read where it lies, each value once.
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

// C-contiguous, in memory of its own.
inline py::array copy_of(const py::array& array) {
    if (!(array.flags() & py::array::c_style)) return contiguous(array);
    return py::array(array.dtype(), std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()),
                     array.data());
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

// An ndarray as it is; what numpy makes one of: other buffers, lists, torch tensors on the CPU.
inline py::array any_array(const py::handle& object, const char* name) {
    if (py::isinstance<py::array>(object)) return py::reinterpret_borrow<py::array>(object);
    try {
        return py::module_::import("numpy").attr("asarray")(object);
    } catch (const py::error_already_set& error) {
        if (!error.matches(PyExc_Exception)) throw;  // an interrupt, for example
        throw InvalidInput(std::string(name) + " is a " + type_name(object) + "; integers of a numpy array are needed");
    }
}

// Integers of any width, signed or not, in native order as int32; throws InvalidInput where one does not fit.
inline py::array as_int32(const py::array& array, const char* name) {
    const char kind = array.dtype().kind();
    if (array.size() == 0) return Array<int32_t>(std::vector<py::ssize_t>(array.shape(), array.shape() + array.ndim()));
    if (kind != 'i' && kind != 'u')
        throw InvalidInput(std::string(name) + " has dtype " + text_of(array.dtype()) + "; integers are needed");
    for (const char* end : {"min", "max"}) {
        const py::object value = array.attr(end)();
        const bool above = value > py::int_(INT32_MAX), below = value < py::int_(INT32_MIN);
        if (above || below)
            throw InvalidInput(std::string(name) + " holds " + text_of(value) + "; allowed are -2^31 to 2^31 - 1");
    }
    return array.attr("astype")(py::dtype::of<int32_t>());
}

// Integers: int32, int16 and, where `narrow`, uint8 in the width that they come in, others as int32.
struct Integers {
    py::array array;
    enum Kind { u8, i16, i32 } kind;
    const void* data;
    std::size_t size;

    // axes: how many it must have; 0 allows any. own: a copy that no other thread can write to.
    Integers(const py::handle& object, const char* name, bool narrow, int axes = 1, bool own = false)
        : array(any_array(object, name)) {
        const auto native = [&] {
            return holds<int32_t>(array) || holds<int16_t>(array) || (narrow && holds<uint8_t>(array));
        };
        const bool converted = !native();
        if (converted) array = as_int32(array, name);
        kind = holds<int32_t>(array) ? i32 : holds<int16_t>(array) ? i16 : u8;
        if (axes && array.ndim() != axes)
            throw InvalidInput(std::string(name) + " has " + std::to_string(array.ndim()) + " axes; needed is " +
                               std::to_string(axes));
        array = own && !converted ? copy_of(array) : contiguous(array);
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
