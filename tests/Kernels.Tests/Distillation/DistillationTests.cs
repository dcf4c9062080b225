using CsCheck;
using DistTrain.TestKit;

namespace DistTrain.Kernels.Tests;

public abstract class DistillationTests(TestDevice which) : OperationTests(which)
{
    private const float Infinity = float.PositiveInfinity;

    public static TheoryData<int, int, float, float, float> Cases => new()
    {
        { 1, 1, 0.5f, 4f, 0f }, { 4, 2, 0.3f, 2f, 0f }, { 7, 10, 0.9f, 3f, 0.1f }, { 37, 17, 0f, 4f, 0f }, { 5, 127, 1f, 8f, 0.2f },
        { 9, 1000, 0.7f, 4f, 0.1f }, { 5, 1000, 0.7f, 1f, 0f }, { 5, 1000, 0.5f, 2f, 0f }, { 2, 4097, 0.5f, 2.5f, 0f }, { 200, 5, 0.5f, 0.1f, 0f }, { 3, 65, 0.5f, 100f, 0.1f },
    };

    [Theory]
    [MemberData(nameof(Cases))]
    public void Components_and_gradient_match_the_closed_forms_in_double(int rows, int columns, float alpha, float temperature, float smoothing)
    {
        if (IsTiny && rows * columns > 1000) return;
        int[] labels = [.. Enumerable.Range(0, rows).Select(row => row % 4 == 3 ? -100 : row * 7 % columns)];
        Tensor student = Random(new Shape(rows, columns), 21, 6f), teacher = Random(student.Shape, 22, 6f);
        Tensor components = Output(new Shape(3)), alone = Output(new Shape(3)), gradient = Output(student.Shape), labelTensor = Make(new Shape(rows), labels);
        DistillationOptions options = new(alpha, temperature, smoothing);

        DistillationLoss.Forward(Stream, components, gradient, student, teacher, labelTensor, options);
        DistillationLoss.Forward(Stream, alone, null, student, teacher, labelTensor, options);

        double[][] s = ExactDistribution.Rows(Read(student), columns), t = ExactDistribution.Rows(Read(teacher), columns);
        int counted = labels.Count(label => label >= 0);
        double hard = 0, soft = 0;
        List<double> expected = [];
        for (int row = 0; row < rows; row++)
        {
            double[] target = ExactDistribution.Smoothed(labels[row], columns, smoothing), p1 = ExactDistribution.Softmax(s[row], 1);
            double[] pT = ExactDistribution.Softmax(s[row], temperature), qT = ExactDistribution.Softmax(t[row], temperature);
            if (labels[row] >= 0)
            {
                hard += ExactDistribution.CrossEntropy(s[row], target) / counted;
                soft += ExactDistribution.Divergence(s[row], t[row], temperature) / counted;
            }
            expected.AddRange(Enumerable.Range(0, columns).Select(j => labels[row] < 0 ? 0
                : (((1.0 - alpha) * (p1[j] - target[j])) + ((double)alpha * temperature * (pT[j] - qT[j]))) / counted));
        }
        double total = ((1.0 - alpha) * hard) + ((double)alpha * temperature * temperature * soft);
        float softTolerance = 1e-6f / MathF.Min(1f, temperature);
        Numbers.AssertClose([total], Read(components)[..1], absolute: 1e-6f + (temperature * temperature * 3e-7f), relative: 1e-5f);
        Numbers.AssertClose([hard, soft], Read(components)[1..], absolute: softTolerance, relative: 4e-6f);
        Numbers.AssertSameBits(Read(components), Read(alone));
        Numbers.AssertClose([.. expected], Read(gradient), absolute: 1e-6f, relative: 2e-5f);
    }

    [Theory]
    [InlineData(0.3f, 1f)]
    [InlineData(0.5f, 4f)]
    [InlineData(0.8f, 2.5f)]
    public void Gradient_of_the_loss_matches_central_differences(float alpha, float temperature)
    {
        const int Rows = 3, Columns = 21;
        int[] labels = [20, 0, 7];
        Tensor student = Random(new Shape(Rows, Columns), 23, 3f), teacher = Random(student.Shape, 24, 3f), gradient = Output(student.Shape);

        DistillationLoss.Forward(Stream, Output(new Shape(3)), gradient, student, teacher, Make(new Shape(Rows), labels), new DistillationOptions(alpha, temperature, 0.1f));

        double[][] t = ExactDistribution.Rows(Read(teacher), Columns);
        double[] expected = [.. ExactDistribution.Rows(Read(student), Columns).SelectMany((row, i) => ExactDistribution.Gradient(z =>
            (((1.0 - alpha) * ExactDistribution.CrossEntropy(z, ExactDistribution.Smoothed(labels[i], Columns, 0.1f)))
            + ((double)alpha * temperature * temperature * ExactDistribution.Divergence(z, t[i], temperature))) / Rows, row))];
        Numbers.AssertClose(expected, Read(gradient), absolute: 5e-7f, relative: 1e-5f);
    }

    [Theory]
    [InlineData(1, 1, 1f)]
    [InlineData(6, 10, 4f)]
    [InlineData(3, 257, 0.5f)]
    public void Divergence_and_its_gradient_match_double_and_central_differences(int rows, int columns, float temperature)
    {
        Tensor student = Random(new Shape(rows, columns), 25, 3f), teacher = Random(student.Shape, 26, 3f), gradient = Output(student.Shape);
        Tensor loss = Output(default), alone = Output(default);

        KlDivergence.Forward(Stream, loss, gradient, student, teacher, temperature);
        KlDivergence.Forward(Stream, alone, null, student, teacher, temperature);

        double[][] s = ExactDistribution.Rows(Read(student), columns), t = ExactDistribution.Rows(Read(teacher), columns);
        Numbers.AssertClose([s.Select((row, i) => ExactDistribution.Divergence(row, t[i], temperature)).Average()], Read(loss), absolute: 1e-6f);
        Numbers.AssertSameBits(Read(loss), Read(alone));
        double[] expected = [.. s.SelectMany((row, i) => ExactDistribution.Gradient(z => ExactDistribution.Divergence(z, t[i], temperature) / rows, row))];
        Numbers.AssertClose(expected, Read(gradient), absolute: 3e-7f, relative: 1e-5f);
    }

    [Theory]
    [InlineData(5, 10, 4f)]
    [InlineData(2, 1000, 3f)]
    [InlineData(3, 33, 0.1f)]
    public void A_student_equal_to_its_teacher_has_no_soft_loss_and_no_soft_gradient(int rows, int columns, float temperature)
    {
        if (IsTiny && rows * columns > 1000) return;
        Tensor student = Random(new Shape(rows, columns), 27, 9f), teacher = Random(student.Shape, 27, 9f), gradient = Output(student.Shape), loss = Output(default);
        Tensor components = Output(new Shape(3));

        KlDivergence.Forward(Stream, loss, gradient, student, teacher, temperature);
        DistillationLoss.Forward(Stream, components, null, student, teacher, Make(new Shape(rows), new int[rows]), new DistillationOptions(0.5f, temperature));

        // On CUDA the compiler may fuse the two sums' steps differently.
        float tolerance = Which == TestDevice.Cuda ? 1e-6f : 0f;
        Numbers.AssertClose([0f, 0f], [Read(loss)[0], Read(components)[2]], absolute: tolerance);
        Numbers.AssertClose(new float[rows * columns], Read(gradient), absolute: tolerance);
    }

    [Fact]
    public void Divergence_is_never_below_zero_and_positive_where_distributions_differ() =>
        Gen.Select(Gen.Int[2, 70], Gen.Int[0, 1000], Gen.Float[0.1f, 20f]).Sample((columns, seed, temperature) =>
        {
            using Tensor student = Tensor.From(Stream, Numbers.Uniform(new Shape(columns), seed, 5f), new Shape(columns));
            using Tensor teacher = Tensor.From(Stream, Numbers.Uniform(new Shape(columns), seed + 5000, 5f), new Shape(columns));
            using Tensor loss = Tensor.Allocate(Stream, default);
            KlDivergence.Forward(Stream, loss, null, student, teacher, temperature);
            double exact = ExactDistribution.Divergence(ExactDistribution.Rows(Read(student), columns)[0], ExactDistribution.Rows(Read(teacher), columns)[0], temperature);
            Assert.Equal(exact, Read(loss)[0], 1e-6 * (1 + (5 / temperature)));
            Assert.True(Read(loss)[0] >= -1e-6f && (exact < 1e-5 || Read(loss)[0] > 0f), $"KL {Read(loss)[0]} where double gives {exact}");
        }, iter: IsTiny ? 3 : 30, threads: 1);

    [Theory]
    [InlineData(0.1f)]
    [InlineData(4f)]
    [InlineData(100f)]
    public void Logits_of_ten_thousand_are_safe(float temperature)
    {
        Tensor student = Make(new Shape(2, 3), 1e4f, -1e4f, 0f, -1e4f, 1e4f, 0f), teacher = Make(student.Shape, 1e4f, -1e4f, 0f, 1e4f, -1e4f, 0f);
        Tensor components = Output(new Shape(3)), gradient = Output(student.Shape);

        DistillationLoss.Forward(Stream, components, gradient, student, teacher, Make(new Shape(2), 0, 1), new DistillationOptions(0.5f, temperature));

        double soft = 1e4 / temperature;
        Numbers.AssertClose([0.5 * temperature * temperature * soft, 0, soft], Read(components), absolute: 1e-6f, relative: 1e-6f);
        float half = 0.5f * temperature / 2f;
        Numbers.AssertClose((float[])[0f, 0f, 0f, -half, half, 0f], Read(gradient), absolute: 1e-6f);
    }

    [Fact]
    public void No_rows_and_only_ignored_rows_give_zero()
    {
        Tensor empty = Zeros(new Shape(0, 4)), none = Output(new Shape(3)), ignored = Output(new Shape(3)), divergence = Output(default);
        Tensor student = Random(new Shape(2, 3), 28), gradient = Output(student.Shape);

        DistillationLoss.Forward(Stream, none, empty, empty, empty, Zeros(new Shape(0), DType.I32), new DistillationOptions(0.5f, 2f));
        DistillationLoss.Forward(Stream, ignored, gradient, student, student, Make(new Shape(2), -100, -100), new DistillationOptions(0.5f, 2f));
        KlDivergence.Forward(Stream, divergence, empty, empty, empty);

        Assert.Equal(new float[7], (float[])[.. Read(none), .. Read(ignored), .. Read(divergence)]);
        Assert.Equal(new float[6], Read(gradient));
    }

    [Fact]
    public void A_class_masked_in_both_takes_no_part_and_one_masked_in_the_student_alone_costs_infinitely_much()
    {
        Tensor student = Make(new Shape(3), -Infinity, 1f, 2f), teacher = Make(new Shape(3), -Infinity, 2f, 1f), open = Make(new Shape(3), 0f, 2f, 1f);
        Tensor both = Output(default), studentOnly = Output(default), teacherOnly = Output(default), gradient = Output(new Shape(3));

        KlDivergence.Forward(Stream, both, gradient, student, teacher, 2f);
        KlDivergence.Forward(Stream, studentOnly, null, student, open, 2f);
        KlDivergence.Forward(Stream, teacherOnly, null, open, teacher, 2f);

        double[] pair = [1, 2], mirrored = [2, 1];
        Numbers.AssertClose([ExactDistribution.Divergence(pair, mirrored, 2)], Read(both), 1e-6f);
        Assert.Equal(0f, Read(gradient)[0]);
        Assert.Equal([Infinity], Read(studentOnly));
        Numbers.AssertClose([ExactDistribution.Divergence([0, 2, 1], [double.NegativeInfinity, 2, 1], 2)], Read(teacherOnly), 1e-6f);
    }

    [Theory]
    [InlineData(float.NaN)]
    [InlineData(Infinity)]
    public void Undefined_logits_are_never_hidden(float bad)
    {
        Tensor good = Random(new Shape(2, 3), 29), broken = Make(new Shape(2, 3), 0f, 1f, bad, 1f, 2f, 3f), components = Output(new Shape(3));
        foreach ((Tensor student, Tensor teacher) in ((Tensor, Tensor)[])[(good, broken), (broken, good)])
        {
            Tensor gradient = Output(good.Shape);

            DistillationLoss.Forward(Stream, components, gradient, student, teacher, Make(new Shape(2), 0, 1), new DistillationOptions(0.5f, 2f));

            Assert.Equal([float.NaN, float.NaN], [Read(components)[0], Read(components)[2]]);
            Assert.All(Read(gradient)[..3], value => Assert.Equal(float.NaN, value));
            Assert.All(Read(gradient)[3..], value => Assert.True(float.IsFinite(value)));
        }
    }

    [Fact]
    public void A_part_of_weight_zero_adds_nothing_to_total_and_gradient()
    {
        Tensor student = Random(new Shape(2, 5), 30, 4f), broken = Make(student.Shape, Enumerable.Repeat(float.NaN, 10).ToArray()), labels = Make(new Shape(2), 1, 4);
        Tensor components = Output(new Shape(3)), gradient = Output(student.Shape), loss = Output(default), dLogits = Output(student.Shape);

        DistillationLoss.Forward(Stream, components, gradient, student, broken, labels, new DistillationOptions(0f, 2f));
        CrossEntropy.Forward(Stream, loss, dLogits, student, labels);

        Numbers.AssertClose((float[])[Read(loss)[0], Read(loss)[0], float.NaN], Read(components));
        Numbers.AssertClose(Read(dLogits), Read(gradient));
    }

    [Fact]
    public void The_gradient_may_overwrite_the_student()
    {
        Tensor student = Random(new Shape(5, 40), 31, 4f), inPlace = Random(student.Shape, 31, 4f), teacher = Random(student.Shape, 32, 4f), gradient = Output(student.Shape);
        Tensor components = Output(new Shape(3)), again = Output(new Shape(3)), labels = Make(new Shape(5), 0, 39, 7, -100, 20);
        DistillationOptions options = new(0.5f, 4f, 0.1f);

        DistillationLoss.Forward(Stream, components, gradient, student, teacher, labels, options);
        DistillationLoss.Forward(Stream, again, inPlace, inPlace, teacher, labels, options);

        Numbers.AssertSameBits(Read(components), Read(again));
        Numbers.AssertSameBits(Read(gradient), Read(inPlace));
    }

    [Fact]
    public void A_label_out_of_range_is_named_on_the_CPU_and_undefined_on_a_GPU()
    {
        Tensor logits = Random(new Shape(2, 4), 33), components = Output(new Shape(3)), labels = Make(new Shape(2), 3, -1);
        DistillationOptions options = new(0.5f, 2f);

        if (Device is CpuDevice)
        {
            ArgumentException failure = Assert.Throws<ArgumentException>(() => DistillationLoss.Forward(Stream, components, null, logits, logits, labels, options));
            Assert.Equal("distillation loss: the label of row 1 is -1, it must be 0 to 3 or the ignore index -100", failure.Message);
            return;
        }
        DistillationLoss.Forward(Stream, components, null, logits, logits, labels, options);
        Assert.Equal([float.NaN, float.NaN], Read(components)[..2]);
    }

    [Theory]
    [InlineData(1.5f, 2f, 0f, "distillation loss: alpha is 1.5, it must be 0 to 1")]
    [InlineData(float.NaN, 2f, 0f, "distillation loss: alpha is NaN, it must be 0 to 1")]
    [InlineData(0.5f, 0f, 0f, "distillation loss: the temperature is 0, it must be a finite number above 0")]
    [InlineData(0.5f, 2f, 1f, "distillation loss: the label smoothing is 1, it must be at least 0 and below 1")]
    public void Options_out_of_range_are_refused(float alpha, float temperature, float smoothing, string message)
    {
        Tensor logits = Zeros(new Shape(1, 2));
        Assert.Equal(message, Assert.Throws<ShapeException>(() => DistillationLoss.Forward(
            Stream, Zeros(new Shape(3)), null, logits, logits, Zeros(new Shape(1), DType.I32), new DistillationOptions(alpha, temperature, smoothing))).Message);
    }

    [Fact]
    public void Wrong_shapes_are_refused_naming_both()
    {
        Tensor logits = Zeros(new Shape(2, 3)), labels = Zeros(new Shape(2), DType.I32), components = Zeros(new Shape(3));
        DistillationOptions options = new(0.5f, 2f);
        Assert.Equal("distillation loss: components has shape [], expected [3]", Refusal(() => DistillationLoss.Forward(Stream, Zeros(default), null, logits, logits, labels, options)));
        Assert.Equal("distillation loss: teacherLogits has shape [3], expected [2, 3]",
            Refusal(() => DistillationLoss.Forward(Stream, components, null, logits, Zeros(new Shape(3)), labels, options)));
        Assert.Equal("KL divergence: dStudentLogits has shape [3], expected [2, 3]", Refusal(() => KlDivergence.Forward(Stream, Zeros(default), Zeros(new Shape(3)), logits, logits)));
    }

    [Fact]
    public void Options_made_by_an_initializer_ignore_minus_100_too() => Assert.Equal(-100, new DistillationOptions { Alpha = 0.5f, Temperature = 2f }.IgnoreIndex);

    [Fact]
    public void Results_do_not_depend_on_the_number_of_threads()
    {
        if (Device is not CpuDevice cpu) return;
        float[][] results = [.. new[] { 1, 3 }.Select(threads =>
        {
            using CpuDevice device = new("cpu", cpu.InstructionSet, threads);
            ExecutionStream stream = device.DefaultStream;
            Shape shape = new(999, 101);
            using Tensor student = Tensor.From(stream, Numbers.Uniform(shape, 34, 9f), shape), teacher = Tensor.From(stream, Numbers.Uniform(shape, 35, 9f), shape);
            using Tensor labels = Tensor.From(stream, Enumerable.Range(0, 999).Select(row => row % 101).ToArray(), new Shape(999)), components = Tensor.Zeros(stream, new Shape(3));
            DistillationLoss.Forward(stream, components, student, student, teacher, labels, new DistillationOptions(0.5f, 4f, 0.1f));
            return (float[])[.. components.ToArray<float>(stream), .. student.ToArray<float>(stream)];
        })];

        Numbers.AssertSameBits(results[0], results[1]);
    }

    private static string Refusal(Action action) => Assert.Throws<ShapeException>(action).Message;
}

public sealed class DistillationOnReference() : DistillationTests(TestDevice.Reference);
public sealed class DistillationOnVector128() : DistillationTests(TestDevice.Vector128);
public sealed class DistillationOnAvx2() : DistillationTests(TestDevice.Avx2);
public sealed class DistillationOnAvx512() : DistillationTests(TestDevice.Avx512);
public sealed class DistillationOnPocl() : DistillationTests(TestDevice.OpenClPocl);
public sealed class DistillationOnEmulator() : DistillationTests(TestDevice.Emulator);
public sealed class DistillationOnCuda() : DistillationTests(TestDevice.Cuda);
