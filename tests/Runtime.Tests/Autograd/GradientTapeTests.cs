using DistTrain.Kernels;
using DistTrain.TestKit;

namespace DistTrain.Runtime.Tests;

public abstract class GradientTapeTests(TestDevice which) : OperationTests(which)
{
    [Fact]
    public void Memory_returns_to_the_pool_when_user_code_throws()
    {
        using Mlp model = Initialised(new Mlp(6, 5, 4));
        int before = Device.Pool.RentedCount;

        Assert.Throws<TimeZoneNotFoundException>(() => ForwardThenThrow(new Shape(3, 6)));
        Assert.Throws<ShapeException>(() => ForwardThenThrow(new Shape(3, 7)));

        Assert.Equal(before + 2, Device.Pool.RentedCount);

        void ForwardThenThrow(Shape shape)
        {
            using GradientTape tape = new(Stream);
            model.Forward(tape.Input(Random(shape, 1)));
            throw new TimeZoneNotFoundException();
        }
    }

    [Fact]
    public void Memory_returns_to_the_pool_when_a_hook_throws_in_the_backward_pass()
    {
        using Mlp model = Initialised(new Mlp(6, 5, 4));
        using GradientStore store = new(model.Parameters());
        store.GradientReady += (_, _) => throw new TimeZoneNotFoundException();
        Tensor input = Random(new Shape(3, 6), 1), labels = Make(new Shape(3), 0, 1, 2);
        int before = Device.Pool.RentedCount;

        using (GradientTape tape = new(Stream))
        {
            Variable loss = Losses.CrossEntropy(model.Forward(tape.Input(input)), labels);
            Assert.Throws<TimeZoneNotFoundException>(() => tape.Backward(loss, store));
        }
        store.Dispose();

        Assert.Equal(before, Device.Pool.RentedCount);
    }

    [Fact]
    public void Backward_frees_everything_but_the_loss_and_the_gradients()
    {
        using Mlp model = Initialised(new Mlp(6, 5, 5, 4));
        using GradientStore store = new(model.Parameters());
        Tensor input = Random(new Shape(3, 6), 1), labels = Make(new Shape(3), 0, 1, 2);
        int before = Device.Pool.RentedCount;
        using GradientTape tape = new(Stream);
        Variable loss = Losses.CrossEntropy(model.Forward(tape.Input(input)), labels);

        tape.Backward(loss, store);

        Assert.Equal(before + 1 + model.Parameters().Count, Device.Pool.RentedCount);
    }

    [Fact]
    public void Evaluation_keeps_no_more_than_the_values_in_use()
    {
        using Sequential model = Initialised(new Sequential([.. Enumerable.Range(0, 8).Select(_ => new Linear(256, 256, Activation.Tanh))]));
        Tensor input = Random(new Shape(64, 256), 1);
        long bytes = input.ByteCount;
        using GradientTape tape = new(Stream, TapeMode.Evaluation);
        Device.Pool.ResetPeak();
        long before = Device.Pool.RentedByteCount;

        Variable output = model.Forward(tape.Input(input));

        // One layer's input and output, and what a kernel takes as scratch.
        Assert.InRange(Device.Pool.PeakRentedByteCount - before, bytes, 8 * bytes);
        Assert.Equal(bytes, Device.Pool.RentedByteCount - before);
        Assert.Equal(input.Shape, output.Value.Shape);
    }

    [Fact]
    public void A_released_value_says_how_to_keep_it()
    {
        using GradientTape tape = new(Stream);
        Variable variable = tape.Input(Random(new Shape(2), 1));
        variable.Release();

        ObjectDisposedException failure = Assert.Throws<ObjectDisposedException>(() => variable.Value);

        Assert.Contains("call Keep() on the variable", failure.Message);
    }

    [Fact]
    public void Hooks_run_once_for_each_parameter_in_reverse_order_and_after_its_last_use()
    {
        using ParameterHolder holder = new(Stream, [new Shape(4, 4), new Shape(4, 4), new Shape(4, 4)]);
        Parameter[] p = [.. holder.Parameters()];
        using GradientStore store = new(p);
        List<string> ready = [];
        store.GradientReady += (parameter, gradient) =>
        {
            Assert.Equal(parameter.Shape, gradient.Shape);
            ready.Add(parameter.Name);
        };
        using GradientTape tape = new(Stream);
        Variable x = tape.Input(Random(new Shape(2, 4), 1));
        foreach (int i in (int[])[0, 1, 2, 1]) x = LinearFunction.Apply(x, p[i], null);

        tape.Backward(ReductionFunction.Sum(x), store);

        Assert.Equal(["p2", "p1", "p0"], ready);
    }

    [Fact]
    public void Parameters_out_of_reach_get_no_gradient_and_are_named()
    {
        using ParameterHolder holder = new(Stream, [new Shape(4, 4), new Shape(4, 4), new Shape(4, 4)]);
        Parameter[] p = [.. holder.Parameters()];
        using GradientStore store = new(p);
        List<string> ready = [];
        store.GradientReady += (parameter, _) => ready.Add(parameter.Name);
        using GradientTape tape = new(Stream);
        Variable x = tape.Input(Random(new Shape(2, 4), 1));
        LinearFunction.Apply(x, p[1], null);

        tape.Backward(ReductionFunction.Sum(LinearFunction.Apply(x, p[0], null)), store);

        Assert.Equal(["p0"], ready);
        Assert.Equal(["p1", "p2"], store.ParametersWithoutGradient.Select(parameter => parameter.Name));
        Assert.Null(store.Of(p[1]));
    }

    [Fact]
    public void Gradients_of_several_passes_are_added_until_cleared()
    {
        using Mlp model = Initialised(new Mlp(6, 5, 4));
        using GradientStore store = new(model.Parameters());

        Pass(model, store, 1);
        float[] once = Read(store.Of(model.Parameters()[0])!);
        Pass(model, store, 1);
        Numbers.AssertClose(once.Select(x => 2 * x).ToArray(), Read(store.Of(model.Parameters()[0])!));
        store.Clear();
        Pass(model, store, 1);

        Numbers.AssertSameBits(once, Read(store.Of(model.Parameters()[0])!));
    }

    [Fact]
    public void Gradients_are_written_to_memory_of_the_caller()
    {
        using Mlp model = Initialised(new Mlp(6, 4));
        using GradientStore own = new(model.Parameters()), bound = new(model.Parameters());
        Tensor bucket = Output(new Shape(28));
        using Tensor weightFlat = bucket.Slice(0, 24), bias = bucket.Slice(24, 4), weight = weightFlat.Reshape(new Shape(4, 6));
        bound.Bind(model.Parameters()[0], weight);
        bound.Bind(model.Parameters()[1], bias);

        Pass(model, own, 1);
        Pass(model, bound, 1);

        Numbers.AssertSameBits([.. model.Parameters().SelectMany(parameter => Read(own.Of(parameter)!))], Read(bucket));
    }

    [Fact]
    public void Two_tapes_live_at_once_and_give_what_they_give_alone()
    {
        using Mlp model = Initialised(new Mlp(6, 5, 4));
        using GradientStore apart = new(model.Parameters()), together = new(model.Parameters());
        Pass(model, apart, 1);
        Pass(model, apart, 2);

        using (GradientTape first = new(Stream), second = new(Stream))
        {
            Variable firstLoss = Loss(model, first, 1), secondLoss = Loss(model, second, 2);
            first.BackwardInput(firstLoss);
            second.BackwardInput(secondLoss);
            first.BackwardWeight(together);
            second.BackwardWeight(together);
        }

        foreach (Parameter parameter in model.Parameters()) Numbers.AssertSameBits(Read(apart.Of(parameter)!), Read(together.Of(parameter)!));
    }

    [Theory]
    [InlineData("convnet")]
    [InlineData("resnet8")]
    public void A_backward_pass_in_two_parts_gives_the_same_bits_as_in_one(string name)
    {
        using Module model = Initialised(ModelCatalog.Create(name, new Shape(1, 8, 8), 4));
        Tensor input = Random(new Shape(2, 1, 8, 8), 1), labels = Make(new Shape(2), 0, 3);
        (float[] input, List<string> order, float[][] weights) joint = Run(isSplit: false), split = Run(isSplit: true);

        Numbers.AssertSameBits(joint.input, split.input);
        Assert.Equal(joint.order, split.order);
        for (int i = 0; i < joint.weights.Length; i++) Numbers.AssertSameBits(joint.weights[i], split.weights[i]);

        (float[], List<string>, float[][]) Run(bool isSplit)
        {
            using GradientStore store = new(model.Parameters());
            List<string> order = [];
            store.GradientReady += (parameter, _) => order.Add(parameter.Name);
            using GradientTape tape = new(Stream);
            Variable x = tape.Input(input, requiresGradient: true);
            Variable loss = Losses.CrossEntropy(model.Forward(x), labels);
            if (isSplit)
            {
                tape.BackwardInput(loss, scale: 0.5f);
                tape.BackwardWeight(store);
            }
            else tape.Backward(loss, store, scale: 0.5f);
            return (Read(x.Gradient!), order, [.. model.Parameters().Select(parameter => Read(store.Of(parameter)!))]);
        }
    }

    [Fact]
    public void A_stage_goes_on_from_the_gradient_of_its_output()
    {
        using Linear first = Initialised(new Linear(6, 5, Activation.Relu)), second = Initialised(new Linear(5, 4));
        using Sequential whole = new([new Linear(6, 5, Activation.Relu), new Linear(5, 4)]);
        Initialised(whole);
        whole.LoadState(Stream, new Dictionary<string, Tensor>
        {
            ["0.weight"] = first.Weight.Value, ["0.bias"] = first.Bias!.Value, ["1.weight"] = second.Weight.Value, ["1.bias"] = second.Bias!.Value,
        });
        Tensor input = Random(new Shape(3, 6), 1), labels = Make(new Shape(3), 0, 1, 2);
        using GradientStore wholeStore = new(whole.Parameters()), firstStore = new(first.Parameters()), secondStore = new(second.Parameters());

        using (GradientTape tape = new(Stream)) tape.Backward(Losses.CrossEntropy(whole.Forward(tape.Input(input)), labels), wholeStore);
        using (GradientTape firstTape = new(Stream), secondTape = new(Stream))
        {
            Variable boundary = first.Forward(firstTape.Input(input));
            Variable arrived = secondTape.Input(boundary.Value, requiresGradient: true);
            secondTape.Backward(Losses.CrossEntropy(second.Forward(arrived), labels), secondStore);
            using Tensor gradient = arrived.TakeGradient();
            firstTape.Backward(boundary, gradient, firstStore);
        }

        Numbers.AssertSameBits(Read(wholeStore.Of(whole.Parameters()[0])!), Read(firstStore.Of(first.Weight)!));
        Numbers.AssertSameBits(Read(wholeStore.Of(whole.Parameters()[2])!), Read(secondStore.Of(second.Weight)!));
    }

    [Fact]
    public void A_parameter_changed_between_forward_and_backward_is_refused()
    {
        using Linear model = Initialised(new Linear(3, 2));
        using GradientStore store = new(model.Parameters());
        using GradientTape tape = new(Stream);
        Variable loss = ReductionFunction.Sum(model.Forward(tape.Input(Random(new Shape(2, 3), 1))));
        model.Weight.MarkChanged();

        StaleParameterException failure = Assert.Throws<StaleParameterException>(() => tape.Backward(loss, store));

        Assert.Equal("backward of LinearFunction: parameter 'weight' was changed since the forward pass (version 1 then, 2 now); " +
            "step the optimizer after Backward, or give the parameter a new tensor instead of changing it in place", failure.Message);
    }

    [Fact]
    public void A_parameter_given_a_new_tensor_leaves_passes_under_way_valid()
    {
        using Linear model = Initialised(new Linear(3, 2));
        using GradientStore store = new(model.Parameters());
        using GradientTape tape = new(Stream);
        Variable input = tape.Input(Random(new Shape(2, 3), 1), requiresGradient: true);
        Variable loss = ReductionFunction.Sum(model.Forward(input));
        using Tensor old = model.Weight.Value;
        float[] column = Read(old);
        model.Weight.Value = Tensor.Zeros(Stream, old.Shape);
        model.Weight.MarkChanged();

        tape.Backward(loss, store);

        Numbers.AssertClose(Enumerable.Range(0, 6).Select(i => column[i % 3] + column[3 + (i % 3)]).ToArray(), Read(input.Gradient!));
    }

    [Fact]
    public void Misuse_is_explained()
    {
        using Linear model = Initialised(new Linear(3, 2));
        using GradientStore store = new(model.Parameters());
        using GradientTape tape = new(Stream), evaluation = new(Stream, TapeMode.Evaluation);
        Tensor input = Random(new Shape(2, 3), 1);
        Variable output = model.Forward(tape.Input(input));
        Variable loss = ReductionFunction.Sum(output);

        Assert.Contains("expected one element", Assert.Throws<ShapeException>(() => tape.Backward(output, store)).Message);
        Assert.Contains("no recorded function", Assert.Throws<InvalidOperationException>(() => evaluation.Backward(ReductionFunction.Sum(model.Forward(evaluation.Input(input))), store)).Message);
        Assert.Contains("another tape", Assert.Throws<ArgumentException>(() => evaluation.Backward(loss, store)).Message);
        tape.Backward(loss, store);
        Assert.Contains("a tape is for one", Assert.Throws<InvalidOperationException>(() => tape.Backward(loss, store)).Message);
        Assert.Contains("on a new tape", Assert.Throws<InvalidOperationException>(() => model.Forward(tape.Input(input))).Message);
    }

    [Fact]
    public void Running_statistics_change_when_state_updates_are_applied_and_only_once()
    {
        using BatchNormModule norm = Initialised(new BatchNormModule(2));
        Tensor input = Make(new Shape(4, 2), 1f, 10f, 2f, 20f, 3f, 30f, 4f, 40f);
        using GradientTape tape = new(Stream);
        norm.Forward(tape.Input(input));
        Assert.Equal([0f, 0f], Read(norm.RunningMean.Value));

        tape.ApplyStateUpdates();
        tape.ApplyStateUpdates();

        Numbers.AssertClose((float[])[0.25f, 2.5f], Read(norm.RunningMean.Value));
        Numbers.AssertClose((float[])[0.9f + (0.1f * 5 / 3), 0.9f + (0.1f * 500 / 3)], Read(norm.RunningVariance.Value));
    }

    private T Initialised<T>(T module) where T : Module
    {
        module.Initialize(Stream, seed: 4);
        return module;
    }

    private void Pass(Module model, GradientStore store, int seed)
    {
        using GradientTape tape = new(Stream);
        tape.Backward(Loss(model, tape, seed), store);
    }

    private Variable Loss(Module model, GradientTape tape, int seed)
    {
        using Tensor input = Tensor.From(Stream, Numbers.Uniform(new Shape(3, 6), seed), new Shape(3, 6));
        using Tensor labels = Tensor.From(Stream, (int[])[0, 1, 2], new Shape(3));
        return Losses.CrossEntropy(model.Forward(tape.Input(input)), labels);
    }
}

public sealed class GradientTapeOnReference() : GradientTapeTests(TestDevice.Reference);
public sealed class GradientTapeOnVector128() : GradientTapeTests(TestDevice.Vector128);
public sealed class GradientTapeOnAvx512() : GradientTapeTests(TestDevice.Avx512);
public sealed class GradientTapeOnPocl() : GradientTapeTests(TestDevice.OpenClPocl);
public sealed class GradientTapeOnCuda() : GradientTapeTests(TestDevice.Cuda);
