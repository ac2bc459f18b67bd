/* What stands between two stages, and between the last stage and the consumer, in C.
 *
 * Without it, a part can only be looked at between two async generators by a third one, and each
 * costs as much as the stage itself. `hop` is hop.py's, and `Taker` with its `Gate` the short
 * way through `Stream.__anext__`: whatever is out of the ordinary is left to the Python code, which
 * is complete without this module, and passes the same tests.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <structmember.h>
#include <math.h>

/* What `setup` was given. */
static PyTypeObject *part_type, *audio_type;
static PyObject *part_of, *is_side_lane, *note_path, *is_signal;
static Py_ssize_t body_at, substream_at, turn_at, pcm_at;

static PyTypeObject *hop_type, *step_type, *meter_type;
static PyObject *str_throw, *str_close, *str_anext, *empty;

/* What came out of one stage, and who waited for whom: see hooks.py. */
typedef struct {
    PyObject_HEAD
    PyObject *time;   /* (): what the clock says */
    PyObject *size;   /* (body): how many bytes it has */
    PyObject *passed; /* (meter, part, at, asked_at, aside): a part has come out */
    PyObject *ended;  /* (meter, error): nothing more will */
    Py_ssize_t parts, bytes, aside;
    double waited_s, room_s;
    double asked_at, left_at; /* NaN while it is not so */
    char of_parts;            /* `passed` is to be told of all parts, not only of those aside */
    char over;
} Meter;

typedef struct {
    PyObject_HEAD
    PyObject *stream;
    PyObject *aside;
    PyObject *path;
    PyObject *spare; /* a step that nobody uses: most hops need only this one */
    /* Functions of one part that stand behind it: see `fused`. All NULL where there are none. */
    PyObject *functions, *paths;
    PyObject *more; /* (result, index): gives an iterator of what becomes of an unusual result */
    PyObject *rest; /* that iterator, until it has ended */
    Meter *meter;   /* NULL where nobody watches */
    char outside;   /* it is in what goes aside: an error there is not the stage's */
} Hop;

typedef struct {
    PyObject_HEAD
    Hop *hop;        /* NULL once it is over */
    PyObject *inner; /* the steps of the stream's own `anext`, once begun */
    PyObject *room;  /* what to wait for before going on, if a side lane is full */
    char running;
    char closes; /* it is one of `aclose` */
} Step;

/* -- exceptions: one object since 3.12 ---------------------------------------------------------- */

#if PY_VERSION_HEX < 0x030c0000
static PyObject *
raised(void)
{
    PyObject *type, *value, *trace;
    PyErr_Fetch(&type, &value, &trace);
    PyErr_NormalizeException(&type, &value, &trace);
    if (trace != NULL) {
        PyException_SetTraceback(value, trace);
        Py_DECREF(trace);
    }
    Py_DECREF(type);
    return value;
}

static void
raise_again(PyObject *error)
{
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
}
#else
#define raised PyErr_GetRaisedException
#define raise_again PyErr_SetRaisedException
#endif

/* -- the meter ---------------------------------------------------------------------------------- */

static int
read_clock(Meter *meter, double *at)
{
    PyObject *time = PyObject_CallNoArgs(meter->time);
    if (time == NULL) {
        return -1;
    }
    *at = PyFloat_AsDouble(time);
    Py_DECREF(time);
    return *at == -1.0 && PyErr_Occurred() ? -1 : 0;
}

/* The stage is asked for its next part. */
static int
was_asked(Meter *meter)
{
    double at;
    if (meter->over) {
        return 0;
    }
    if (read_clock(meter, &at) < 0) {
        return -1;
    }
    if (!isnan(meter->left_at)) {
        meter->room_s += at - meter->left_at;
        meter->left_at = NAN;
    }
    meter->asked_at = at;
    return 0;
}

static Py_ssize_t
size_of(Meter *meter, PyObject *body)
{
    if (Py_IS_TYPE(body, audio_type)) {
        PyObject *pcm = *(PyObject **)((char *)body + pcm_at);
        if (PyBytes_CheckExact(pcm)) {
            return PyBytes_GET_SIZE(pcm);
        }
    }
    PyObject *size = PyObject_CallOneArg(meter->size, body);
    if (size == NULL) {
        return -1;
    }
    Py_ssize_t count = PyLong_AsSsize_t(size);
    Py_DECREF(size);
    return count;
}

/* `part` has come out of it. */
static int
has_left(Meter *meter, PyObject *part, int aside)
{
    double at, asked_at = meter->asked_at;
    if (meter->over) {
        return 0;
    }
    if (read_clock(meter, &at) < 0) {
        return -1;
    }
    meter->left_at = at;
    meter->asked_at = NAN;
    if (!isnan(asked_at)) {
        meter->waited_s += at - asked_at;
    }
    if (aside) {
        meter->aside++;
    }
    else {
        Py_ssize_t size = size_of(meter, *(PyObject **)((char *)part + body_at));
        if (size < 0) {
            return -1;
        }
        meter->parts++;
        meter->bytes += size;
        if (!meter->of_parts) {
            return 0;
        }
    }
    PyObject *told = PyObject_CallFunction(meter->passed, "OOddO", meter, part, at, asked_at,
                                           aside ? Py_True : Py_False);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

/* The error that is set has come out of it: StopAsyncIteration is its end. It stays set. */
static void
has_ended(Meter *meter)
{
    PyObject *error = raised();
    PyObject *told = Py_None;
    if (!PyErr_GivenExceptionMatches(error, PyExc_StopAsyncIteration)) {
        told = error;
    }
    PyObject *done = PyObject_CallFunctionObjArgs(meter->ended, meter, told, NULL);
    if (done == NULL) {
        PyErr_WriteUnraisable(meter->ended);
    }
    Py_XDECREF(done);
    raise_again(error);
}

static PyObject *
meter_new(PyTypeObject *type, PyObject *Py_UNUSED(args), PyObject *Py_UNUSED(kwargs))
{
    Meter *self = (Meter *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->asked_at = self->left_at = NAN;
    }
    return (PyObject *)self;
}

static PyObject *
time_or_none(double at)
{
    return isnan(at) ? Py_NewRef(Py_None) : PyFloat_FromDouble(at);
}

static int
set_time(double *at, PyObject *value)
{
    double given = value == Py_None ? NAN : PyFloat_AsDouble(value);
    if (given == -1.0 && PyErr_Occurred()) {
        return -1;
    }
    *at = given;
    return 0;
}

static PyObject *
meter_get_asked_at(PyObject *op, void *Py_UNUSED(closure))
{
    return time_or_none(((Meter *)op)->asked_at);
}

static int
meter_set_asked_at(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    return set_time(&((Meter *)op)->asked_at, value);
}

static PyObject *
meter_get_left_at(PyObject *op, void *Py_UNUSED(closure))
{
    return time_or_none(((Meter *)op)->left_at);
}

static int
meter_set_left_at(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    return set_time(&((Meter *)op)->left_at, value);
}

static int
meter_traverse(PyObject *op, visitproc visit, void *arg)
{
    Meter *self = (Meter *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->time);
    Py_VISIT(self->size);
    Py_VISIT(self->passed);
    Py_VISIT(self->ended);
    return 0;
}

static int
meter_clear(PyObject *op)
{
    Meter *self = (Meter *)op;
    self->over = 1;
    Py_CLEAR(self->time);
    Py_CLEAR(self->size);
    Py_CLEAR(self->passed);
    Py_CLEAR(self->ended);
    return 0;
}

static void
meter_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    meter_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

/* asked(): the stage is asked for its next part. */
static PyObject *
meter_asked(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    return was_asked((Meter *)op) < 0 ? NULL : Py_NewRef(Py_None);
}

/* kept(): it was asked, and its reader cannot take a part any more: it has to wait for room. */
static PyObject *
meter_kept(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Meter *meter = (Meter *)op;
    double at;
    if (!meter->over && !isnan(meter->asked_at)) {
        if (read_clock(meter, &at) < 0) {
            return NULL;
        }
        meter->waited_s += at - meter->asked_at;
        meter->left_at = at;
        meter->asked_at = NAN;
    }
    return Py_NewRef(Py_None);
}

/* crossed(part): `part` has come out of it, and it is asked for the next one at once. */
static PyObject *
meter_crossed(PyObject *op, PyObject *part)
{
    Meter *meter = (Meter *)op;
    if (!Py_IS_TYPE(part, part_type)) {
        PyErr_SetString(PyExc_TypeError, "only a Part can have come out of a stage");
        return NULL;
    }
    if (!meter->over) {
        if (has_left(meter, part, 0) < 0) {
            return NULL;
        }
        meter->asked_at = meter->left_at;
        meter->left_at = NAN;
    }
    return Py_NewRef(Py_None);
}

static PyMethodDef meter_methods[] = {
    {"asked", meter_asked, METH_NOARGS, "The stage is asked for its next part."},
    {"kept", meter_kept, METH_NOARGS, "Its reader cannot take a part any more."},
    {"crossed", meter_crossed, METH_O, "A part has come out of it, and it is asked for the next."},
    {NULL},
};

static PyMemberDef meter_members[] = {
    {"time", T_OBJECT_EX, offsetof(Meter, time), 0, NULL},
    {"size", T_OBJECT_EX, offsetof(Meter, size), 0, NULL},
    {"passed", T_OBJECT_EX, offsetof(Meter, passed), 0, NULL},
    {"ended", T_OBJECT_EX, offsetof(Meter, ended), 0, NULL},
    {"parts", T_PYSSIZET, offsetof(Meter, parts), 0, NULL},
    {"bytes", T_PYSSIZET, offsetof(Meter, bytes), 0, NULL},
    {"aside", T_PYSSIZET, offsetof(Meter, aside), 0, NULL},
    {"waited_s", T_DOUBLE, offsetof(Meter, waited_s), 0, NULL},
    {"room_s", T_DOUBLE, offsetof(Meter, room_s), 0, NULL},
    {"of_parts", T_BOOL, offsetof(Meter, of_parts), 0, NULL},
    {"over", T_BOOL, offsetof(Meter, over), 0, NULL},
    {NULL},
};

static PyGetSetDef meter_getset[] = {
    {"asked_at", meter_get_asked_at, meter_set_asked_at, NULL, NULL},
    {"left_at", meter_get_left_at, meter_set_left_at, NULL, NULL},
    {NULL},
};

static PyType_Slot meter_slots[] = {
    {Py_tp_new, meter_new},
    {Py_tp_dealloc, meter_dealloc},
    {Py_tp_traverse, meter_traverse},
    {Py_tp_clear, meter_clear},
    {Py_tp_methods, meter_methods},
    {Py_tp_members, meter_members},
    {Py_tp_getset, meter_getset},
    {0, NULL},
};

static PyType_Spec meter_spec = {
    .name = "vivace.flow._speedups.Meter",
    .basicsize = sizeof(Meter),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = meter_slots,
};

/* -- a step ------------------------------------------------------------------------------------- */

static PyObject *
steps_of(PyObject *awaitable) /* steals it */
{
    if (PyCoro_CheckExact(awaitable)) {
        return awaitable;
    }
    PyAsyncMethods *methods = Py_TYPE(awaitable)->tp_as_async;
    if (methods == NULL || methods->am_await == NULL) {
        PyErr_Format(PyExc_TypeError, "'%.100s' object can't be awaited",
                     Py_TYPE(awaitable)->tp_name);
        Py_DECREF(awaitable);
        return NULL;
    }
    PyObject *steps = methods->am_await(awaitable);
    Py_DECREF(awaitable);
    return steps;
}

/* PyIter_Send(steps, None), shorter for what async generators give, where that can be told. */
static PySendResult
advance(PyObject *steps, PyObject **result)
{
#if PY_VERSION_HEX < 0x030d0000
    if (Py_IS_TYPE(steps, &_PyAsyncGenASend_Type)) {
        *result = Py_TYPE(steps)->tp_iternext(steps);
        if (*result != NULL) {
            return PYGEN_NEXT;
        }
        return _PyGen_FetchStopIterationValue(result) == 0 ? PYGEN_RETURN : PYGEN_ERROR;
    }
#endif
    return PyIter_Send(steps, Py_None, result);
}

static PySendResult
over(Step *self, PySendResult status)
{
    Py_CLEAR(self->inner);
    Py_CLEAR(self->room);
    Py_CLEAR(self->hop);
    return status;
}

/* From a coroutine it would look like a result; so Python does this with those of generators. */
static void
refuse_stop(const char *message)
{
    PyObject *stop = raised();
    PyErr_SetString(PyExc_RuntimeError, message);
    PyObject *error = raised();
    PyException_SetCause(error, Py_NewRef(stop));
    PyException_SetContext(error, stop);
    raise_again(error);
}

/* Note that the error came from `path`, unless it is a cancellation. */
static void
note_error(PyObject *path)
{
    if (PyErr_ExceptionMatches(PyExc_Exception)) {
        PyObject *error = raised();
        PyObject *noted = PyObject_CallFunctionObjArgs(note_path, error, path, NULL);
        if (noted == NULL) {
            Py_DECREF(error);
        }
        else {
            Py_DECREF(noted);
            raise_again(error);
        }
    }
}

/* An error has come out of the stage: note where, unless it is the end. */
static PySendResult
failed(Step *self)
{
    Hop *hop = self->hop;
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
        refuse_stop("async generator raised StopIteration");
    }
    if (hop->meter != NULL && !hop->outside && !hop->meter->over) {
        has_ended(hop->meter);
    }
    hop->outside = 0;
    if (!PyErr_ExceptionMatches(PyExc_StopAsyncIteration)) {
        note_error(hop->path);
    }
    if (hop->functions != NULL) { /* what it stands for has ended */
        Py_CLEAR(hop->stream);
        Py_CLEAR(hop->rest);
    }
    return over(self, PYGEN_ERROR);
}

/* Nearly all parts have the one empty string there is as their substream. */
static int
is_named(PyObject *substream)
{
    return substream == empty ? 0 : PyObject_IsTrue(substream);
}

/* 1: `*part` goes on to the next stage; 0: it went aside; -1: an error. */
static int
sort(Step *self, PyObject **part)
{
    if (!Py_IS_TYPE(*part, part_type)) {
        Py_SETREF(*part, PyObject_CallOneArg(part_of, *part));
        if (*part == NULL) {
            return -1;
        }
    }
    PyObject *substream = *(PyObject **)((char *)*part + substream_at);
    int named = is_named(substream);
    if (named > 0) {
        PyObject *aside = PyObject_CallOneArg(is_side_lane, substream);
        named = aside == NULL ? -1 : aside != Py_False;
        Py_XDECREF(aside);
    }
    Meter *meter = self->hop->meter;
    if (named < 0 || (meter != NULL && has_left(meter, *part, named) < 0)) {
        return -1;
    }
    if (!named) {
        return 1;
    }
    self->hop->outside = 1;
    PyObject *room = PyObject_CallOneArg(self->hop->aside, *part);
    if (room == NULL) {
        return -1;
    }
    if (room == Py_None) {
        Py_DECREF(room);
        self->hop->outside = 0;
        return 0;
    }
    self->room = steps_of(room);
    return self->room == NULL ? -1 : 0;
}

/* 1: what passes by functions; 0: any other part; -1: an error. */
static int
passes_by(PyObject *part)
{
    PyObject *kind = (PyObject *)Py_TYPE(*(PyObject **)((char *)part + body_at));
    PyObject *known = PyDict_GetItemWithError(is_signal, kind);
    if (known != NULL) {
        return known == Py_True;
    }
    known = PyErr_Occurred() ? NULL : PyObject_GetItem(is_signal, kind); /* which finds it out */
    if (known == NULL) {
        return -1;
    }
    int passes = known == Py_True;
    Py_DECREF(known);
    return passes;
}

/* An error of the function at `index`: an end is none of the stream's. */
static int
function_failed(Hop *hop, Py_ssize_t index)
{
    PyObject *path = PyTuple_GET_ITEM(hop->paths, index);
    note_error(path);
    if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
        refuse_stop("async generator raised StopIteration");
        note_error(path);
    }
    else if (PyErr_ExceptionMatches(PyExc_StopAsyncIteration)) {
        refuse_stop("async generator raised StopAsyncIteration");
        note_error(path);
    }
    return -1;
}

/* Give `*part` to the functions. 1: what they make of it goes on; 0: nothing does, or what comes of
 * it is in `rest`; -1: an error. */
static int
walk(Hop *hop, PyObject **part)
{
    int passes = passes_by(*part);
    if (passes) {
        return passes;
    }
    Py_ssize_t count = PyTuple_GET_SIZE(hop->functions);
    for (Py_ssize_t index = 0; index < count; index++) {
        PyObject *result = PyObject_CallOneArg(PyTuple_GET_ITEM(hop->functions, index), *part);
        if (result == NULL) {
            return function_failed(hop, index);
        }
        if (result == *part) {
            Py_DECREF(result);
            continue;
        }
        if (result == Py_None) {
            Py_DECREF(result);
            return 0;
        }
        if (Py_IS_TYPE(result, part_type)) {
            int named = is_named(*(PyObject **)((char *)result + substream_at));
            passes = named ? named : passes_by(result);
            if (passes < 0) {
                Py_DECREF(result);
                return -1;
            }
            if (!passes) {
                Py_SETREF(*part, result);
                continue;
            }
        }
        PyObject *next = PyLong_FromSsize_t(index + 1);
        PyObject *rest = next == NULL ? NULL
            : PyObject_CallFunctionObjArgs(hop->more, result, next, NULL);
        Py_XDECREF(next);
        Py_DECREF(result);
        if (rest == NULL) {
            return -1;
        }
        Py_XSETREF(hop->rest, rest);
        return 0;
    }
    return 1;
}

static PyObject *
begin(Step *self)
{
    Hop *hop = self->hop;
    PyObject *stream = hop->rest != NULL ? hop->rest : hop->stream;
    if (stream == NULL) { /* closed, or the garbage collector was here */
        PyErr_SetNone(PyExc_StopAsyncIteration);
        return NULL;
    }
    PyAsyncMethods *methods = Py_TYPE(stream)->tp_as_async;
    if (methods == NULL || methods->am_anext == NULL) {
        PyErr_Format(PyExc_TypeError, "'%.100s' object is no async iterator",
                     Py_TYPE(stream)->tp_name);
        return NULL;
    }
    hop->outside = 0;
    if (hop->meter != NULL && was_asked(hop->meter) < 0) {
        return NULL;
    }
    Py_INCREF(stream); /* whatever it does may close the hop */
    PyObject *awaitable = methods->am_anext(stream);
    Py_DECREF(stream);
    return awaitable == NULL ? NULL : steps_of(awaitable);
}

/* Go on, `status` and `result` being what the last step of `room` or `inner` came to. */
static PySendResult
go_on(Step *self, PySendResult status, PyObject **result)
{
    for (;;) {
        if (status == PYGEN_NEXT) {
            return PYGEN_NEXT;
        }
        if (status == PYGEN_ERROR) {
            if (self->room != NULL || self->hop->rest == NULL
                || !PyErr_ExceptionMatches(PyExc_StopAsyncIteration)) {
                return failed(self);
            }
            PyErr_Clear();
            Py_CLEAR(self->inner);
            Py_CLEAR(self->hop->rest);
        }
        else if (self->room != NULL) {
            Py_CLEAR(self->room);
            Py_CLEAR(*result);
            self->hop->outside = 0;
        }
        else {
            Py_CLEAR(self->inner);
            int passes = sort(self, result);
            if (passes > 0 && self->hop->functions != NULL && self->hop->rest == NULL) {
                passes = walk(self->hop, result);
            }
            if (passes > 0) {
                return over(self, PYGEN_RETURN);
            }
            Py_CLEAR(*result);
            if (passes < 0) {
                return failed(self);
            }
        }
        if (self->room == NULL && (self->inner = begin(self)) == NULL) {
            return failed(self);
        }
        status = advance(self->room ? self->room : self->inner, result);
    }
}

static int
is_unfit(Step *self)
{
    if (self->running) {
        PyErr_SetString(PyExc_RuntimeError, "this __anext__() is already running");
        return 1;
    }
    if (self->hop == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "cannot reuse already awaited __anext__()");
        return 1;
    }
    return 0;
}

static PySendResult
step_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    Step *self = (Step *)op;
    *result = NULL;
    if (is_unfit(self)) {
        return PYGEN_ERROR;
    }
    if (self->closes) {
        *result = Py_NewRef(Py_None);
        return over(self, PYGEN_RETURN);
    }
    self->running = 1;
    PySendResult status;
    PyObject *steps = self->room;
    if (steps == NULL && self->inner == NULL && (self->inner = begin(self)) == NULL) {
        status = failed(self);
    }
    else {
        steps = steps ? steps : self->inner;
        status = value == Py_None ? advance(steps, result) : PyIter_Send(steps, value, result);
        status = go_on(self, status, result);
    }
    self->running = 0;
    return status;
}

static PyObject *
as_iterator(PySendResult status, PyObject *result)
{
    if (status == PYGEN_RETURN) {
        PyObject *stop = PyObject_CallOneArg(PyExc_StopIteration, result);
        if (stop != NULL) {
            PyErr_SetObject(PyExc_StopIteration, stop);
            Py_DECREF(stop);
        }
        Py_CLEAR(result);
    }
    return result;
}

static PyObject *
step_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult status = step_am_send(self, value, &result);
    return as_iterator(status, result);
}

static PyObject *
step_next(PyObject *self)
{
    return step_send(self, Py_None);
}

/* Not begun: what is thrown comes straight back. */
static void
throw_back(PyObject *args)
{
    PyObject *error = PyTuple_GET_SIZE(args) ? PyTuple_GET_ITEM(args, 0) : NULL;
    if (error == NULL) {
        PyErr_SetString(PyExc_TypeError, "throw() needs an exception");
    }
    else if (PyExceptionInstance_Check(error)) {
        PyErr_SetObject((PyObject *)Py_TYPE(error), error);
    }
    else {
        PyErr_SetObject(error, PyTuple_GET_SIZE(args) > 1 ? PyTuple_GET_ITEM(args, 1) : NULL);
    }
}

/* `steps.throw(*args)` as `yield from` does it: what cannot be thrown into is left alone. */
static PyObject *
throw_into(PyObject *steps, PyObject *args)
{
    PyObject *throw = PyObject_GetAttr(steps, str_throw);
    if (throw == NULL) {
        if (PyErr_ExceptionMatches(PyExc_AttributeError)) {
            PyErr_Clear();
            throw_back(args);
        }
        return NULL;
    }
    PyObject *result = PyObject_CallObject(throw, args);
    Py_DECREF(throw);
    return result;
}

/* `steps.close()` likewise. */
static PyObject *
close_steps(PyObject *steps)
{
    PyObject *close = steps == NULL ? NULL : PyObject_GetAttr(steps, str_close);
    if (close == NULL) {
        if (steps != NULL && !PyErr_ExceptionMatches(PyExc_AttributeError)) {
            return NULL;
        }
        PyErr_Clear();
        return Py_NewRef(Py_None);
    }
    PyObject *closed = PyObject_CallNoArgs(close);
    Py_DECREF(close);
    return closed;
}

static PyObject *
step_throw(PyObject *op, PyObject *args)
{
    Step *self = (Step *)op;
    if (is_unfit(self)) {
        return NULL;
    }
    PyObject *steps = self->room ? self->room : self->inner;
    if (steps == NULL) {
        throw_back(args);
        over(self, PYGEN_ERROR);
        return NULL;
    }
    self->running = 1;
    PySendResult status = PYGEN_NEXT;
    PyObject *result = throw_into(steps, args);
    if (result == NULL) {
        status = PYGEN_ERROR;
        if (PyErr_ExceptionMatches(PyExc_StopIteration)) {
            PyObject *stop = raised();
            result = PyObject_GetAttrString(stop, "value");
            Py_DECREF(stop);
            status = result == NULL ? PYGEN_ERROR : PYGEN_RETURN;
        }
    }
    status = go_on(self, status, &result);
    self->running = 0;
    return as_iterator(status, result);
}

static PyObject *
step_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Step *self = (Step *)op;
    if (self->running && is_unfit(self)) {
        return NULL;
    }
    self->running = 1;
    PyObject *closed = close_steps(self->room ? self->room : self->inner);
    self->running = 0;
    Meter *meter = self->inner != NULL && self->hop != NULL ? self->hop->meter : NULL;
    if (closed != NULL && meter != NULL && !meter->over) {
        PyErr_SetNone(PyExc_GeneratorExit);
        has_ended(meter);
        PyErr_Clear();
    }
    over(self, PYGEN_ERROR);
    return closed;
}

static PyObject *
itself(PyObject *self)
{
    return Py_NewRef(self);
}

static int
step_traverse(PyObject *op, visitproc visit, void *arg)
{
    Step *self = (Step *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->hop);
    Py_VISIT(self->inner);
    Py_VISIT(self->room);
    return 0;
}

static int
step_clear(PyObject *op)
{
    over((Step *)op, PYGEN_ERROR);
    return 0;
}

static void
step_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    step_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef step_methods[] = {
    {"send", step_send, METH_O, NULL},
    {"throw", step_throw, METH_VARARGS, NULL},
    {"close", step_close, METH_NOARGS, NULL},
    {NULL},
};

/* For those who look at what a task waits in. */
static PyMemberDef step_members[] = {
    {"ag_await", T_OBJECT, offsetof(Step, inner), READONLY, NULL},
    {NULL},
};

static PyType_Slot step_slots[] = {
    {Py_tp_dealloc, step_dealloc},
    {Py_tp_traverse, step_traverse},
    {Py_tp_clear, step_clear},
    {Py_tp_iter, itself},
    {Py_tp_iternext, step_next},
    {Py_tp_methods, step_methods},
    {Py_tp_members, step_members},
    {Py_am_await, itself},
    {Py_am_send, step_am_send},
    {0, NULL},
};

static PyType_Spec step_spec = {
    .name = "vivace.flow._speedups.step",
    .basicsize = sizeof(Step),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = step_slots,
};

/* -- the hop ------------------------------------------------------------------------------------ */

static PyObject *
hop_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"stream", "aside", "path", "meter", NULL};
    PyObject *stream, *aside, *path, *meter = NULL;
    if (part_type == NULL) {
        PyErr_SetString(PyExc_RuntimeError, "call setup() first");
        return NULL;
    }
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOO|O!:hop", names, &stream, &aside, &path,
                                     meter_type, &meter)) {
        return NULL;
    }
    Hop *self = (Hop *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->stream = Py_NewRef(stream);
        self->aside = Py_NewRef(aside);
        self->path = Py_NewRef(path);
        self->meter = (Meter *)Py_XNewRef(meter);
    }
    return (PyObject *)self;
}

static PyObject *
hop_anext(PyObject *op)
{
    Hop *self = (Hop *)op;
    Step *step = (Step *)self->spare;
    if (step == NULL || Py_REFCNT(step) > 1 || step->running) {
        step = PyObject_GC_New(Step, step_type);
        if (step == NULL) {
            return NULL;
        }
        step->hop = NULL;
        step->inner = step->room = NULL;
        step->running = 0;
        PyObject_GC_Track(step);
        Py_XSETREF(self->spare, Py_NewRef(step));
    }
    else {
        Py_INCREF(step);
        over(step, PYGEN_ERROR); /* it may have been left half-way */
    }
    step->hop = (Hop *)Py_NewRef(op);
    step->closes = 0;
    return (PyObject *)step;
}

/* Like a generator that is closed where it yields: it has ended, the stage has not. */
static PyObject *
hop_aclose(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Step *step = (Step *)hop_anext(op);
    if (step != NULL) {
        step->closes = 1;
        Py_CLEAR(((Hop *)op)->stream);
        Py_CLEAR(((Hop *)op)->rest);
    }
    return (PyObject *)step;
}

/* Let functions of one part stand behind it; each has its path.
 * False if there are some already. */
static PyObject *
hop_join(PyObject *op, PyObject *args)
{
    Hop *self = (Hop *)op;
    PyObject *functions, *paths, *more;
    if (!PyArg_ParseTuple(args, "O!O!O:join", &PyTuple_Type, &functions, &PyTuple_Type, &paths,
                          &more)) {
        return NULL;
    }
    if (PyTuple_GET_SIZE(functions) != PyTuple_GET_SIZE(paths)) {
        PyErr_SetString(PyExc_ValueError, "a path for each function");
        return NULL;
    }
    if (self->functions != NULL) {
        Py_RETURN_FALSE;
    }
    self->functions = Py_NewRef(functions);
    self->paths = Py_NewRef(paths);
    self->more = Py_NewRef(more);
    Py_RETURN_TRUE;
}

static int
hop_traverse(PyObject *op, visitproc visit, void *arg)
{
    Hop *self = (Hop *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->stream);
    Py_VISIT(self->aside);
    Py_VISIT(self->path);
    Py_VISIT(self->spare);
    Py_VISIT(self->functions);
    Py_VISIT(self->paths);
    Py_VISIT(self->more);
    Py_VISIT(self->rest);
    Py_VISIT(self->meter);
    return 0;
}

static int
hop_clear(PyObject *op)
{
    Hop *self = (Hop *)op;
    Py_CLEAR(self->stream);
    Py_CLEAR(self->aside);
    Py_CLEAR(self->path);
    Py_CLEAR(self->spare);
    Py_CLEAR(self->functions);
    Py_CLEAR(self->paths);
    Py_CLEAR(self->more);
    Py_CLEAR(self->rest);
    Py_CLEAR(self->meter);
    return 0;
}

static void
hop_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    hop_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef hop_methods[] = {
    {"aclose", hop_aclose, METH_NOARGS, NULL},
    {"join", hop_join, METH_VARARGS, NULL},
    {NULL},
};

static PyType_Slot hop_slots[] = {
    {Py_tp_new, hop_new},
    {Py_tp_dealloc, hop_dealloc},
    {Py_tp_traverse, hop_traverse},
    {Py_tp_clear, hop_clear},
    {Py_tp_methods, hop_methods},
    {Py_am_aiter, itself},
    {Py_am_anext, hop_anext},
    {0, NULL},
};

static PyType_Spec hop_spec = {
    .name = "vivace.flow._speedups.hop",
    .basicsize = sizeof(Hop),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = hop_slots,
};

/* -- the taker ---------------------------------------------------------------------------------- */

/* What a run lets its consumer see: whether the short way may be gone, and what it needs. */
typedef struct {
    PyObject_HEAD
    PyObject *parts;   /* what the last stage gives; NULL once the run has ended */
    PyObject *came;    /* (part, error): what the last stage has come to */
    PyObject *waits;   /* (steps, future): where it has to wait */
    PyObject *task;    /* in whose name the stages run */
    PyObject *context; /* and in which context */
    PyObject *loop;
    char quiet;    /* nothing waits, overtakes or has ended */
    char stepping; /* the stages are at it */
    int at_once, at_most;
} Gate;

/* The base of Stream. */
typedef struct {
    PyObject_HEAD
    Gate *gate; /* NULL before the run begins and once it has ended */
    PyObject *spare;
} Taker;

typedef struct {
    PyObject_HEAD
    Taker *taker;
    PyObject *inner; /* the long way, once it has to be gone: the steps of Stream's `_anext` */
    char running;
} Take;

static PyTypeObject *gate_type;
static PyTypeObject *taker_type, *take_type;
static PyObject *current_tasks, *swap_current_task, *zero;

/* Make `task` the current one of `loop`; returns the one before it, or None. */
static PyObject *
swap_task(PyObject *loop, PyObject *task)
{
    if (swap_current_task != NULL) { /* since Python 3.12 */
        return PyObject_CallFunctionObjArgs(swap_current_task, loop, task, NULL);
    }
    PyObject *before = Py_XNewRef(PyDict_GetItemWithError(current_tasks, loop));
    if (before == NULL) {
        if (PyErr_Occurred()) {
            return NULL;
        }
        before = Py_NewRef(Py_None);
    }
    int failed = task == Py_None ? PyDict_DelItem(current_tasks, loop)
                                 : PyDict_SetItem(current_tasks, loop, task);
    if (failed) {
        Py_CLEAR(before);
    }
    return before;
}

/* What `__anext__` of a hop does, with an object for it only if there is something to wait for. */
static PySendResult
pass_through(Hop *hop, PyObject **steps, PyObject **result)
{
    Step step = {.hop = (Hop *)Py_NewRef(hop)};
    PySendResult status = PYGEN_ERROR;
    step.inner = begin(&step);
    if (step.inner == NULL) {
        return failed(&step);
    }
    status = go_on(&step, advance(step.inner, result), result);
    if (status == PYGEN_NEXT) {
        Step *waits = (Step *)hop_anext((PyObject *)hop);
        if (waits == NULL) {
            Py_CLEAR(*result);
            return over(&step, PYGEN_ERROR);
        }
        waits->inner = step.inner;
        waits->room = step.room;
        Py_DECREF(step.hop);
        *steps = (PyObject *)waits;
    }
    return status;
}

/* Let the stages make a part. */
static PySendResult
step_stages(Gate *gate, PyObject **steps, PyObject **result)
{
    *steps = *result = NULL;
    PyObject *caller = swap_task(gate->loop, gate->task);
    if (caller == NULL) {
        return PYGEN_ERROR;
    }
    PySendResult status = PYGEN_ERROR;
    if (PyContext_Enter(gate->context) == 0) {
        if (Py_IS_TYPE(gate->parts, hop_type)) {
            status = pass_through((Hop *)gate->parts, steps, result);
        }
        else {
            PyAsyncMethods *methods = Py_TYPE(gate->parts)->tp_as_async;
            PyObject *awaitable = methods->am_anext(gate->parts);
            *steps = awaitable == NULL ? NULL : steps_of(awaitable);
            if (*steps != NULL) {
                status = advance(*steps, result);
            }
        }
        PyObject *error = status == PYGEN_ERROR ? raised() : NULL;
        if (PyContext_Exit(gate->context) < 0) {
            PyErr_Clear();
        }
        if (error != NULL) {
            raise_again(error);
        }
    }
    PyObject *error = status == PYGEN_ERROR ? raised() : NULL;
    PyObject *swapped = swap_task(gate->loop, caller);
    Py_DECREF(caller);
    if (swapped == NULL) {
        PyErr_Clear();
    }
    Py_XDECREF(swapped);
    if (error != NULL) {
        raise_again(error);
    }
    return status;
}

/* Take the short way. 1: `*part` is it; 0: the long way is to be gone from here; -1: an error. */
static int
take_shortly(Gate *gate, PyObject **part)
{
    PyObject *steps, *told;
    gate->stepping = 1;
    PySendResult status = step_stages(gate, &steps, part);
    gate->stepping = 0;
    if (status == PYGEN_RETURN) {
        Py_XDECREF(steps);
        if (gate->quiet && Py_IS_TYPE(*part, part_type)
            && *(PyObject **)((char *)*part + turn_at) == zero) {
            return 1;
        }
        told = PyObject_CallFunctionObjArgs(gate->came, *part, Py_None, NULL);
    }
    else if (status == PYGEN_NEXT) {
        told = PyObject_CallFunctionObjArgs(gate->waits, steps, *part, NULL);
        Py_DECREF(steps);
    }
    else {
        Py_XDECREF(steps);
        PyObject *error = raised();
        told = PyObject_CallFunctionObjArgs(gate->came, Py_None, error, NULL);
        Py_DECREF(error);
    }
    Py_CLEAR(*part);
    Py_XDECREF(told);
    return told == NULL ? -1 : 0;
}

static PySendResult
take_over(Take *self, PySendResult status)
{
    self->running = 0;
    if (status != PYGEN_NEXT) {
        Py_CLEAR(self->inner);
        Py_CLEAR(self->taker);
    }
    return status;
}

static int
take_is_unfit(Take *self)
{
    if (self->taker == NULL || self->running) {
        PyErr_SetString(PyExc_RuntimeError, self->running
                        ? "this __anext__() is already running"
                        : "cannot reuse already awaited __anext__()");
        return 1;
    }
    return 0;
}

static PySendResult
take_am_send(PyObject *op, PyObject *value, PyObject **result)
{
    Take *self = (Take *)op;
    *result = NULL;
    if (take_is_unfit(self)) {
        return PYGEN_ERROR;
    }
    self->running = 1;
    if (self->inner == NULL) {
        Gate *gate = self->taker->gate;
        int shortly = gate != NULL && gate->quiet && !gate->stepping;
        if (shortly && gate->at_once + 1 < gate->at_most) {
            Py_INCREF(gate);
            int taken = take_shortly(gate, result);
            gate->at_once += taken > 0; /* the long way counts its own */
            Py_DECREF(gate);
            if (taken) {
                return take_over(self, taken > 0 ? PYGEN_RETURN : PYGEN_ERROR);
            }
        }
        PyObject *slow = PyObject_CallMethodNoArgs((PyObject *)self->taker, str_anext);
        self->inner = slow == NULL ? NULL : steps_of(slow);
        if (self->inner == NULL) {
            return take_over(self, PYGEN_ERROR);
        }
        value = Py_None;
    }
    return take_over(self, PyIter_Send(self->inner, value, result));
}

static PyObject *
take_send(PyObject *self, PyObject *value)
{
    PyObject *result;
    PySendResult status = take_am_send(self, value, &result);
    return as_iterator(status, result);
}

static PyObject *
take_next(PyObject *self)
{
    return take_send(self, Py_None);
}

static PyObject *
take_throw(PyObject *op, PyObject *args)
{
    Take *self = (Take *)op;
    if (take_is_unfit(self)) {
        return NULL;
    }
    if (self->inner == NULL) {
        throw_back(args);
        take_over(self, PYGEN_ERROR);
        return NULL;
    }
    self->running = 1;
    PyObject *result = throw_into(self->inner, args);
    take_over(self, result == NULL ? PYGEN_ERROR : PYGEN_NEXT);
    return result;
}

static PyObject *
take_close(PyObject *op, PyObject *Py_UNUSED(ignored))
{
    Take *self = (Take *)op;
    if (self->running && take_is_unfit(self)) {
        return NULL;
    }
    self->running = 1;
    PyObject *closed = close_steps(self->inner);
    take_over(self, PYGEN_ERROR);
    return closed;
}

static int
take_traverse(PyObject *op, visitproc visit, void *arg)
{
    Take *self = (Take *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->taker);
    Py_VISIT(self->inner);
    return 0;
}

static int
take_clear(PyObject *op)
{
    take_over((Take *)op, PYGEN_ERROR);
    return 0;
}

static void
take_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    take_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyMethodDef take_methods[] = {
    {"send", take_send, METH_O, NULL},
    {"throw", take_throw, METH_VARARGS, NULL},
    {"close", take_close, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef take_members[] = {
    {"cr_await", T_OBJECT, offsetof(Take, inner), READONLY, NULL},
    {NULL},
};

static PyType_Slot take_slots[] = {
    {Py_tp_dealloc, take_dealloc},
    {Py_tp_traverse, take_traverse},
    {Py_tp_clear, take_clear},
    {Py_tp_iter, itself},
    {Py_tp_iternext, take_next},
    {Py_tp_methods, take_methods},
    {Py_tp_members, take_members},
    {Py_am_await, itself},
    {Py_am_send, take_am_send},
    {0, NULL},
};

static PyType_Spec take_spec = {
    .name = "vivace.flow._speedups.take",
    .basicsize = sizeof(Take),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_DISALLOW_INSTANTIATION,
    .slots = take_slots,
};

static PyObject *
taker_anext(PyObject *op)
{
    Taker *self = (Taker *)op;
    Take *take = (Take *)self->spare;
    if (take == NULL || Py_REFCNT(take) > 1 || take->running) {
        take = PyObject_GC_New(Take, take_type);
        if (take == NULL) {
            return NULL;
        }
        take->taker = NULL;
        take->inner = NULL;
        take->running = 0;
        PyObject_GC_Track(take);
        Py_XSETREF(self->spare, Py_NewRef(take));
    }
    else {
        Py_INCREF(take);
        take_over(take, PYGEN_ERROR); /* it may have been left half-way */
    }
    take->taker = (Taker *)Py_NewRef(op);
    return (PyObject *)take;
}

static int
taker_set_gate(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Taker *self = (Taker *)op;
    if (value == NULL || value == Py_None) {
        Py_CLEAR(self->gate);
        return 0;
    }
    if (!PyObject_TypeCheck(value, gate_type)) {
        PyErr_SetString(PyExc_TypeError, "a gate, or None");
        return -1;
    }
    Py_XSETREF(self->gate, (Gate *)Py_NewRef(value));
    return 0;
}

static PyObject *
taker_get_gate(PyObject *op, void *Py_UNUSED(closure))
{
    Gate *gate = ((Taker *)op)->gate;
    return Py_NewRef(gate == NULL ? Py_None : (PyObject *)gate);
}

static int
taker_traverse(PyObject *op, visitproc visit, void *arg)
{
    Taker *self = (Taker *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->gate);
    Py_VISIT(self->spare);
    return 0;
}

static int
taker_clear(PyObject *op)
{
    Taker *self = (Taker *)op;
    Py_CLEAR(self->gate);
    Py_CLEAR(self->spare);
    return 0;
}

static void
taker_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    taker_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static PyGetSetDef taker_getset[] = {
    {"_gate", taker_get_gate, taker_set_gate, NULL, NULL},
    {NULL},
};

static PyType_Slot taker_slots[] = {
    {Py_tp_dealloc, taker_dealloc},
    {Py_tp_traverse, taker_traverse},
    {Py_tp_clear, taker_clear},
    {Py_tp_getset, taker_getset},
    {Py_am_aiter, itself},
    {Py_am_anext, taker_anext},
    {0, NULL},
};

static PyType_Spec taker_spec = {
    .name = "vivace.flow._speedups.Taker",
    .basicsize = sizeof(Taker),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE,
    .slots = taker_slots,
};

/* -- the gate ----------------------------------------------------------------------------------- */

static PyObject *
gate_new(PyTypeObject *type, PyObject *args, PyObject *kwargs)
{
    static char *names[] = {"parts", "came", "waits", "task", "context", "loop", "at_most", NULL};
    PyObject *parts, *came, *waits, *task, *context, *loop;
    int at_most;
    if (!PyArg_ParseTupleAndKeywords(args, kwargs, "OOOOO!Oi:Gate", names, &parts, &came, &waits,
                                     &task, &PyContext_Type, &context, &loop, &at_most)) {
        return NULL;
    }
    PyAsyncMethods *methods = Py_TYPE(parts)->tp_as_async;
    if (methods == NULL || methods->am_anext == NULL) {
        PyErr_Format(PyExc_TypeError, "'%.100s' object is no async iterator",
                     Py_TYPE(parts)->tp_name);
        return NULL;
    }
    Gate *self = (Gate *)type->tp_alloc(type, 0);
    if (self != NULL) {
        self->parts = Py_NewRef(parts);
        self->came = Py_NewRef(came);
        self->waits = Py_NewRef(waits);
        self->task = Py_NewRef(task);
        self->context = Py_NewRef(context);
        self->loop = Py_NewRef(loop);
        self->at_most = at_most;
        self->quiet = 1;
    }
    return (PyObject *)self;
}

static int
gate_traverse(PyObject *op, visitproc visit, void *arg)
{
    Gate *self = (Gate *)op;
    Py_VISIT(Py_TYPE(op));
    Py_VISIT(self->parts);
    Py_VISIT(self->came);
    Py_VISIT(self->waits);
    Py_VISIT(self->task);
    Py_VISIT(self->context);
    Py_VISIT(self->loop);
    return 0;
}

static int
gate_clear(PyObject *op)
{
    Gate *self = (Gate *)op;
    self->quiet = 0;
    Py_CLEAR(self->parts);
    Py_CLEAR(self->came);
    Py_CLEAR(self->waits);
    Py_CLEAR(self->task);
    Py_CLEAR(self->context);
    Py_CLEAR(self->loop);
    return 0;
}

static void
gate_dealloc(PyObject *op)
{
    PyTypeObject *type = Py_TYPE(op);
    PyObject_GC_UnTrack(op);
    gate_clear(op);
    type->tp_free(op);
    Py_DECREF(type);
}

static int
gate_set_quiet(PyObject *op, PyObject *value, void *Py_UNUSED(closure))
{
    Gate *self = (Gate *)op;
    self->quiet = value == Py_True && self->parts != NULL;
    return 0;
}

static PyObject *
gate_get_quiet(PyObject *op, void *Py_UNUSED(closure))
{
    return PyBool_FromLong(((Gate *)op)->quiet);
}

static PyMemberDef gate_members[] = {
    {"at_once", T_INT, offsetof(Gate, at_once), 0, NULL},
    {NULL},
};

static PyGetSetDef gate_getset[] = {
    {"quiet", gate_get_quiet, gate_set_quiet, NULL, NULL},
    {NULL},
};

static PyType_Slot gate_slots[] = {
    {Py_tp_new, gate_new},
    {Py_tp_dealloc, gate_dealloc},
    {Py_tp_traverse, gate_traverse},
    {Py_tp_clear, gate_clear},
    {Py_tp_members, gate_members},
    {Py_tp_getset, gate_getset},
    {0, NULL},
};

static PyType_Spec gate_spec = {
    .name = "vivace.flow._speedups.Gate",
    .basicsize = sizeof(Gate),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .slots = gate_slots,
};

/* -- the module --------------------------------------------------------------------------------- */

static Py_ssize_t
slot_of(PyObject *type, const char *name)
{
    PyObject *field = PyObject_GetAttrString(type, name);
    Py_ssize_t at = -1;
    if (field != NULL && Py_IS_TYPE(field, &PyMemberDescr_Type)) {
        at = ((PyMemberDescrObject *)field)->d_member->offset;
    }
    else if (field != NULL) {
        PyErr_Format(PyExc_ImportError, "parts and sound do not keep %s in a slot", name);
    }
    Py_XDECREF(field);
    return at;
}

static PyObject *
setup(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *part, *of, *lane, *note, *signals, *audio;
    if (!PyArg_ParseTuple(args, "O!OOOO!O!:setup", &PyType_Type, &part, &of, &lane, &note,
                          &PyDict_Type, &signals, &PyType_Type, &audio)) {
        return NULL;
    }
    Py_ssize_t body = slot_of(part, "body");
    Py_ssize_t substream = body < 0 ? -1 : slot_of(part, "substream");
    Py_ssize_t turn = substream < 0 ? -1 : slot_of(part, "turn");
    Py_ssize_t pcm = turn < 0 ? -1 : slot_of(audio, "pcm");
    if (pcm < 0) {
        return NULL;
    }
    body_at = body;
    substream_at = substream;
    turn_at = turn;
    pcm_at = pcm;
    Py_XSETREF(audio_type, (PyTypeObject *)Py_NewRef(audio));
    Py_XSETREF(part_type, (PyTypeObject *)Py_NewRef(part));
    Py_XSETREF(part_of, Py_NewRef(of));
    Py_XSETREF(is_side_lane, Py_NewRef(lane));
    Py_XSETREF(note_path, Py_NewRef(note));
    Py_XSETREF(is_signal, Py_NewRef(signals));
    Py_RETURN_NONE;
}

static PyMethodDef functions[] = {
    {"setup", setup, METH_VARARGS, NULL},
    {NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT,
    .m_name = "vivace.flow._speedups",
    .m_size = -1,
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__speedups(void)
{
    str_throw = PyUnicode_InternFromString("throw");
    str_close = PyUnicode_InternFromString("close");
    str_anext = PyUnicode_InternFromString("_anext");
    empty = PyUnicode_InternFromString("");
    zero = PyLong_FromLong(0);
    meter_type = (PyTypeObject *)PyType_FromSpec(&meter_spec);
    hop_type = (PyTypeObject *)PyType_FromSpec(&hop_spec);
    step_type = (PyTypeObject *)PyType_FromSpec(&step_spec);
    taker_type = (PyTypeObject *)PyType_FromSpec(&taker_spec);
    take_type = (PyTypeObject *)PyType_FromSpec(&take_spec);
    gate_type = (PyTypeObject *)PyType_FromSpec(&gate_spec);
    PyObject *asyncio = PyImport_ImportModule("_asyncio");
    if (asyncio == NULL) {
        return NULL;
    }
#if PY_VERSION_HEX < 0x030c0000
    current_tasks = PyObject_GetAttrString(asyncio, "_current_tasks");
#else
    swap_current_task = PyObject_GetAttrString(asyncio, "_swap_current_task");
#endif
    Py_DECREF(asyncio);
    PyObject *made = PyModule_Create(&module);
    if (made == NULL || PyErr_Occurred()
        || PyModule_AddObjectRef(made, "hop", (PyObject *)hop_type) < 0
        || PyModule_AddObjectRef(made, "Meter", (PyObject *)meter_type) < 0
        || PyModule_AddObjectRef(made, "Taker", (PyObject *)taker_type) < 0
        || PyModule_AddObjectRef(made, "Gate", (PyObject *)gate_type) < 0) {
        Py_XDECREF(made);
        return NULL;
    }
    return made;
}
